import EventBus
import EventBusRabbit
import EventBusTesting
import Testing

/// The contract of every transport, over a real broker.
@Suite(.timeLimit(.minutes(3)))
struct ConformanceTests {
    static let suite = TransportConformance { name in
        let broker = try await TestBroker.shared()
        let configuration = try broker.configuration { $0.exchange = "events-\(name)" }
        return TransportNamespace(makeTransport: { RabbitTransport(configuration) })
    }

    @Test(arguments: suite.checks)
    func `RabbitMQ keeps the contract`(check: ConformanceCheck) async throws {
        try await check.run()
    }
}

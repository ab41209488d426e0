import EventBus
import EventBusInMemory
import EventBusTesting
import Testing

@Suite(.timeLimit(.minutes(2)))
struct InMemoryTransportConformanceTests {
    static let suite = TransportConformance { _ in
        let broker = InMemoryBroker()
        return TransportNamespace(
            makeTransport: { InMemoryTransport(broker: broker) },
            loseConnections: { broker.loseConnections() }
        )
    }

    @Test("The in-memory transport follows the contract", arguments: suite.checks)
    func conforms(check: ConformanceCheck) async throws {
        try await check.run()
    }
}

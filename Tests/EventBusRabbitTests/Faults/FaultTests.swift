import EventBusRabbit
import Testing

/// Tests that harm brokers, connections and processes. They run one after another, so that they do not affect each
/// other's deadlines.
@Suite(.serialized) enum FaultTests {
    /// Returns the broker that these tests harm. If the last one has killed it, it is started again.
    static func broker() async throws -> TestBroker { try await HarmedBroker.shared.broker() }
}

/// A separate broker, which is started when the first test needs it.
private actor HarmedBroker {
    static let shared = HarmedBroker()
    private let starting = Task { try await TestBroker.start() }

    func broker() async throws -> TestBroker {
        let broker = try await starting.value
        let port = try RabbitConfiguration(uri: broker.url).hosts[0].port
        if !portIsOpen(port) { try await broker.restart() }
        return broker
    }
}

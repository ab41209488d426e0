import EventBus
import EventBusRabbit
import EventBusTesting
import Testing

/// An inspection of a broker, and the errors of connections that are not those of a running transport.
@Suite(.timeLimit(.minutes(2)))
struct BrokerInspectionTests {
    @Test func `an inspection counts events and consumers, and names what is missing`() async throws {
        let name = freshName()
        let broker = try await TestBroker.shared()
        let configuration = try broker.configuration { $0.exchange = "events-\(name)" }
        let group = "group-\(name)"
        let before = try await RabbitTransport.inspect(queues: ["\(group).probe"], on: configuration)
        #expect(before.missingExchanges.contains("events-\(name)"))
        #expect(before.queues.map(\.isMissing) == [true])
        #expect(!before.version.isEmpty)

        let queue = QueueSpecification(
            group: group,
            name: "probe",
            patterns: [try TopicPattern(validating: "\(name).#")],
            prefetch: 1
        )
        try await RabbitTransport.declareTopology(for: [queue], on: configuration)
        let bus = try EventBus(transport: .rabbit(configuration))
        try await bus.withRunning {
            for _ in 0..<3 {
                try await bus.publish(Envelope(topic: try Topic(validating: "\(name).probe"), payload: [1]))
            }
        }
        let queues = ["\(group).probe", "\(group).dead", "\(group).none"]
        let after = try await RabbitTransport.inspect(queues: queues, on: configuration)
        #expect(after.missingExchanges.isEmpty)
        #expect(after.queues.map(\.name) == queues)
        #expect(after.queues.map(\.events) == [3, 0, nil])
        #expect(after.queues.map(\.consumers) == [0, 0, nil])
        #expect(after.queues.map(\.isMissing) == [false, false, true])
        #expect(after.sharedQueues.count == 21)
        #expect(after.sharedQueues.allSatisfy { !$0.isMissing })
        try await RabbitTransport.delete(
            queues: ["\(group).probe", "\(group).dead"],
            exchange: "events-\(name)",
            on: configuration
        )
    }

    @Test func `a wrong password, a missing virtual host and a closed port are told apart`() async throws {
        let broker = try await TestBroker.shared()
        func error(_ change: (inout RabbitConfiguration) -> Void) async throws -> EventBusError {
            let configuration = try broker.configuration(change)
            return try #require(
                await #expect(throws: EventBusError.self) {
                    _ = try await RabbitTransport.inspect(on: configuration)
                }
            )
        }
        let password = try await error { $0.credentials.password = "wrong-secret" }
        #expect(password.code == .authenticationFailed)
        #expect(!"\(password)".contains("wrong-secret"))
        let host = try await error { $0.virtualHost = "nowhere" }
        #expect(host.code == .accessRefused)
        #expect(host.message.contains("nowhere"))
        let port = try freePort()
        let closed = try await error { $0.hosts[0].port = port }
        #expect(closed.code == .unavailable)
        #expect(closed.message.contains("\(port)"))
    }

    @Test func `a broker that does not answer is told apart from one that cannot be reached`() async throws {
        let proxy = try TestProxy(to: try await TestBroker.shared().configuration().hosts[0].port)
        proxy.setFrozen(true)
        let configuration = try await TestBroker.shared().configuration {
            $0.hosts = [.init("127.0.0.1", port: proxy.port)]
            $0.connectTimeout = .milliseconds(500)
        }
        let error = try #require(
            await #expect(throws: EventBusError.self) { _ = try await RabbitTransport.inspect(on: configuration) }
        )
        #expect(error.code == .timedOut)
        #expect(error.message == "127.0.0.1:\(proxy.port) did not answer within 0.5 seconds")
    }
}

import EventBus
import EventBusRabbit
import EventBusTesting
import Glibc
import InMemoryLogging
import Logging
import Testing

/// Publishing while the connections are still being established.
@Suite(.serialized, .timeLimit(.minutes(3)))
struct ConnectingTests {
    private static let count = 50

    /// On a new virtual host, all of them declare the same objects.
    @Test(arguments: [true, false])
    func `events published while fifty transports connect at once wait for their connection`(isNew: Bool) async throws {
        let broker = try await TestBroker.shared()
        let name = freshName()
        let hasOwnHost = isNew && broker.directory != nil
        if hasOwnHost { try await broker.addVirtualHost(name) }
        let configuration = try broker.configuration {
            if hasOwnHost { $0.virtualHost = name }
            $0.exchange = "events-\(name)"
            $0.connectTimeout = .seconds(30)
            $0.commandTimeout = .seconds(60)
        }
        let log = InMemoryLogHandler()
        let logger = Logger(label: "test", factory: { _ in log })
        let transports = try (0..<Self.count).map { _ in try RabbitTransport(configuration, logger: logger) }
        let topic = try Topic(validating: "\(name).probe")
        let start = ContinuousClock.now
        try await withThrowingTaskGroup(of: Void.self) { group in
            for transport in transports { group.addTask { try await transport.run() } }
            let outcomes = try await withThrowingTaskGroup(of: PublishOutcome.self) { publishing in
                for transport in transports {
                    publishing.addTask {
                        let deadline = transport.clock.now.advanced(by: .seconds(120))
                        return try await transport.publish(
                            Envelope(topic: topic, payload: [1]),
                            options: .init(deadline: deadline)
                        )
                    }
                }
                return try await publishing.reduce(into: []) { $0.append($1) }
            }
            print("\(Self.count) transports at once, new host \(isNew): all published in \(start.duration(to: .now))")
            #expect(outcomes == Array(repeating: .unroutable, count: Self.count))
            try await eventually("both connections of each") {
                transports.allSatisfy { $0.health().compactMap { $0.details["connections"] } == [1, 1] }
            }
            #expect(log.entries.filter { "\($0.message)".contains("cannot connect") }.map { "\($0.metadata)" } == [])
            group.cancelAll()
        }
    }

    @Test func `an event whose deadline passes before the first connection is told so`() async throws {
        // It accepts connections, and never says a word.
        let listener = try listenOnLoopback()
        defer { close(listener.descriptor) }
        let transport = try RabbitTransport(RabbitConfiguration(uri: "amqp://127.0.0.1:\(listener.port)/"))
        await withTaskGroup(of: Void.self) { group in
            group.addTask { try? await transport.run() }
            let error = await #expect(throws: EventBusError.self) {
                let deadline = transport.clock.now.advanced(by: .milliseconds(100))
                return try await transport.publish(
                    Envelope(topic: "a.b", payload: []),
                    options: .init(deadline: deadline)
                )
            }
            #expect(error?.code == .unavailable)
            #expect(error?.message.contains("no connection yet") == true)
            group.cancelAll()
        }
    }
}

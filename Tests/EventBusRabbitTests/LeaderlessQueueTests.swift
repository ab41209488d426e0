import EventBus
import EventBusRabbit
import EventBusTesting
import Testing

/// A quorum queue without a leader. The broker reports it like an empty one, and closes the connection on which it is
/// consumed.
@Suite(.timeLimit(.minutes(3)))
struct LeaderlessQueueTests {
    @Test func `a queue without a leader is named in health, stops no other consumer, and is used when it has one`()
        async throws
    {
        let broker = try await TestBroker.shared()
        try #require(broker.directory != nil, "needs a broker of our own")
        let name = freshName()
        let configuration = try broker.configuration {
            $0.exchange = "events-\(name)"
            $0.consumerCheckInterval = .milliseconds(100)
        }
        let bus = try EventBus(transport: .rabbit(configuration))
        let handled = SeenNumbers()
        let topic = try Topic(validating: "\(name).good")
        let badTopic = try Topic(validating: "\(name).bad")
        bus.subscribe(to: TopicPattern(topic), group: "group-\(name)", name: "good") { event, _ in
            handled.note(event.envelope)
        }
        bus.subscribe(to: TopicPattern(badTopic), group: "group-\(name)", name: "bad") { event, _ in
            handled.note(event.envelope)
        }
        @Sendable func health(_ suffix: String) -> ComponentHealth? {
            bus.health().components.first { $0.name.hasPrefix("transport") && $0.name.hasSuffix(suffix) }
        }
        try await bus.withRunning {
            try await broker.control("eval", "ra:stop_server(quorum_queues, {'%2F_group-\(name).bad', node()}).")
            try await eventually("found", within: .seconds(20)) { health(".bad")?.details["queue_down"] == 1 }
            #expect(health(".bad")?.status == .notReady)
            #expect(health(".bad")?.reason?.contains("no leader") == true)
            let connections = health(".consume")?.details["connections"] ?? 0
            for number in 0..<50 {
                try await bus.publish(Envelope(topic: topic, payload: Array("\(number)".utf8)))
                try await eventually("handled \(number)") { handled.all.contains(number) }
            }
            #expect(health(".consume")?.details["connections"] == connections)
            #expect(connections <= 2)
            print("a queue without a leader: \(connections) consume connections, 50 events of its neighbour handled")

            try await broker.control("eval", "ra:restart_server(quorum_queues, {'%2F_group-\(name).bad', node()}).")
            try await eventually("attached again", within: .seconds(30)) { health(".bad")?.status == .ready }
            try await bus.publish(Envelope(topic: badTopic, payload: Array("99".utf8)))
            try await eventually("handled again") { handled.all.contains(99) }
        }
    }
}

import EventBus
import EventBusRabbit
import EventBusTesting
import Testing

/// Bindings that an operator forbids while the service runs.
@Suite(.timeLimit(.minutes(3)))
struct RefusedBindingTests {
    /// Returns the numbers of channels of the connections of a user.
    private func channels(of user: String, _ broker: TestBroker) async throws -> Int {
        try await broker.control("list_connections", "user", "channels").split(separator: "\n")
            .filter { $0.hasPrefix("\(user)\t") }
            .compactMap { $0.split(separator: "\t").last.flatMap { Int($0) } }
            .reduce(0, +)
    }

    @Test func `bindings that are refused again and again are named in health, and cost no channel`() async throws {
        let broker = try await TestBroker.shared()
        try #require(broker.directory != nil, "needs a broker of our own")
        let name = freshName()
        let user = freshName("user")
        try await broker.control("add_user", user, "secret")
        try await broker.control("set_permissions", user, ".*", ".*", ".*")
        let configuration = try broker.configuration {
            $0.credentials = .init(user: user, password: "secret")
            $0.exchange = "events-\(name)"
            $0.consumerCheckInterval = .milliseconds(50)
        }
        let topic = try Topic(validating: "\(name).probe")
        let bus = try EventBus(transport: .rabbit(configuration))
        let seen = SeenNumbers()
        bus.subscribe(to: TopicPattern(topic), group: "group-\(name)", name: "probe") { event, _ in
            seen.note(event.envelope)
        }
        let unboundTopic = try Topic(validating: "\(name).unbound")
        bus.subscribe(to: TopicPattern(unboundTopic), group: "group-\(name)", name: "unbound") { _, _ in }
        try await bus.withRunning {
            try await bus.publish(Envelope(topic: topic, payload: Array("1".utf8)))
            try await eventually("handled") { seen.all == [1] }
            let before = try await channels(of: user, broker)
            // The bindings include the declaration of the queue for due events.
            try await broker.control("set_permissions", user, "^$", ".*", ".*")
            try await RawClient.unbind(
                queue: "group-\(name).unbound",
                from: configuration.exchange,
                key: unboundTopic.rawValue,
                configuration
            )
            let log = try #require(broker.log)
            try await eventually("refused twenty times", within: .seconds(60)) {
                // An event that finds no queue has all bindings made again, on brokers that seldom do without one.
                _ = try await bus.publish(Envelope(topic: unboundTopic, payload: []))
                return (contents(of: log) ?? "").split(separator: "refused for user '\(user)'").count > 20
            }
            let after = try await channels(of: user, broker)
            // One of them may be open for the event, and one for the watch.
            #expect(after <= before + 2)
            print("bindings refused 20 times: \(before) channels before, \(after) after")
            try await eventually("health names the queue") {
                bus.health().reason.contains("eventbus.delay.v1.due.group-\(name).probe")
            }
            try await bus.publish(Envelope(topic: topic, payload: Array("2".utf8)))
            try await eventually("still handled") { seen.all == [1, 2] }
            try await broker.control("set_permissions", user, ".*", ".*", ".*")
            try await eventually("ready again") { bus.health().isReady }
        }
    }

    @Test func `a binding that is refused keeps no other queue from being bound again`() async throws {
        let broker = try await TestBroker.shared()
        try #require(broker.directory != nil, "needs a broker of our own")
        let name = freshName()
        let user = freshName("user")
        try await broker.control("add_user", user, "secret")
        try await broker.control("set_permissions", user, ".*", ".*", ".*")
        let configuration = try broker.configuration {
            $0.credentials = .init(user: user, password: "secret")
            $0.exchange = "events-\(name)"
            $0.consumerCheckInterval = .milliseconds(50)
        }
        let bus = try EventBus(transport: .rabbit(configuration))
        let topics = try (0..<3).map { try Topic(validating: "\(name).probe\($0)") }
        for (number, topic) in topics.enumerated() {
            bus.subscribe(to: TopicPattern(topic), group: "group-\(name)", name: "probe\(number)") { _, _ in }
        }
        try await bus.withRunning {
            try await broker.control("set_permissions", user, "^(?!eventbus\\.delay.*probe1).*", ".*", ".*")
            for (number, topic) in topics.enumerated() {
                try await RawClient.unbind(
                    queue: "group-\(name).probe\(number)",
                    from: configuration.exchange,
                    key: topic.rawValue,
                    configuration
                )
            }
            for number in [0, 2] {
                try await eventually("\(number) is bound again") {
                    try await bus.publish(Envelope(topic: topics[number], payload: [])).outcome == .routed
                }
            }
        }
    }
}

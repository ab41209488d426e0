import EventBus
import EventBusTesting
import Testing

@testable import EventBusRabbit

/// Scheduled events of services that share a virtual host but not an exchange.
@Suite(.timeLimit(.minutes(2)))
struct SchedulingTests {
    /// Returns a bus on a separate exchange that records the events of `topic` that it receives.
    private func bus(
        _ exchange: String,
        _ topic: Topic,
        _ seen: Received,
        _ scheduling: RabbitConfiguration.Scheduling = .own
    ) async throws -> EventBus {
        let configuration = try await TestBroker.shared().configuration {
            $0.exchange = exchange
            $0.scheduling = scheduling
        }
        let bus = try EventBus(transport: .rabbit(configuration))
        bus.subscribe(to: TopicPattern(topic), group: "group-\(exchange)", name: "probe") { event, _ in
            seen.add(event.envelope)
        }
        return bus
    }

    @Test func `a scheduled event reaches the subscriptions of its exchange and of no other`() async throws {
        let name = freshName()
        let topic = try Topic(validating: "\(name).due")
        let (ours, theirs) = (Received(), Received())
        let first = try await bus("a-\(name)", topic, ours)
        let second = try await bus("b-\(name)", topic, theirs)
        try await first.withRunning {
            try await second.withRunning {
                try await first.publish(Envelope(topic: topic, payload: [1]), options: .init(delay: .milliseconds(300)))
                try await second.publish(
                    Envelope(topic: topic, payload: [2]),
                    options: .init(delay: .milliseconds(600))
                )
                try await eventually("each its own") { ours.all.count == 1 && theirs.all.count == 1 }
                #expect(ours.all.map(\.payload) == [[1]])
                #expect(theirs.all.map(\.payload) == [[2]])
                #expect(ours.all.map(\.topic) == [topic])
            }
        }
    }

    @Test func `events scheduled as the first releases did reach those that have not turned to isolation`()
        async throws
    {
        let name = freshName()
        let topic = try Topic(validating: "\(name).due")
        let (old, moved, isolated) = (Received(), Received(), Received())
        let publisher = try await bus("a-\(name)", topic, old, .shared)
        let second = try await bus("b-\(name)", topic, moved, .own)
        // It was attached by an earlier release, and removes the bindings of that release.
        let earlier = try await bus("c-\(name)", topic, isolated, .own)
        try await earlier.withRunning {}
        let third = try await bus("c-\(name)", topic, isolated, .isolated)
        try await publisher.withRunning {
            try await second.withRunning {
                try await third.withRunning {
                    let event = Envelope(topic: topic, payload: [1])
                    try await publisher.publish(event, options: .init(delay: .milliseconds(200)))
                    try await third.publish(event, options: .init(delay: .seconds(1)))
                    try await eventually("delivered") {
                        old.all.count == 1 && moved.all.count == 1 && isolated.all.count == 1
                    }
                }
            }
        }
        #expect(isolated.all.count == 1)
    }

    @Test func `a retry that an earlier release sent finds its queue`() async throws {
        let broker = try await TestBroker.shared()
        let name = freshName()
        let topic = try Topic(validating: "\(name).due")
        let configuration = try broker.configuration { $0.exchange = "events-\(name)" }
        let bus = try EventBus(transport: .rabbit(configuration))
        let seen = Received()
        let attempts = Locked<[Int]>([])
        bus.subscribe(to: TopicPattern(topic), group: "group-\(name)", name: "probe") { event, context in
            attempts.withLock { $0.append(context.attempt) }
            seen.add(event.envelope)
        }
        try await bus.withRunning {
            let route = try DelayRoute(delay: .milliseconds(100), to: .queue("group-\(name).probe"))
            let key = route.routingKey.split(separator: ".").map { $0 == "r" ? "q" : $0 }.joined(separator: ".")
            let headers = #"{"x-eventbus-topic":"\#(topic)","x-eventbus-attempts":1}"#
            try await Pika.run(
                "send",
                #"[{"exchange":"\#(route.exchange)","routing_key":"\#(key)","properties":{"headers":\#(headers)}}]"#,
                broker: broker
            )
            try await eventually("handled") { seen.all.map(\.topic) == [topic] }
            #expect(attempts.withLock { $0 } == [2])
        }
    }

    @Test func `a topic of 200 bytes fits behind the levels and the exchange`() throws {
        let topic = try Topic(validating: String(repeating: "t", count: 200))
        let exchange = String(repeating: "e", count: 127)
        let route = try DelayRoute(delay: .seconds(1), to: .topic(topic, exchange: exchange))
        #expect(route.routingKey.utf8.count <= 255)
        #expect(DelayRoute.scheduledTopic(in: route.routingKey) == topic.rawValue)
        let shared = try DelayRoute(delay: .seconds(1), to: .sharedTopic(topic))
        #expect(DelayRoute.scheduledTopic(in: shared.routingKey) == topic.rawValue)
        let retry = try DelayRoute(delay: .seconds(1), to: .queue("group.name"))
        #expect(DelayRoute.queue(in: retry.routingKey) == "group.name")
        #expect(DelayRoute.scheduledTopic(in: retry.routingKey) == nil)
    }
}

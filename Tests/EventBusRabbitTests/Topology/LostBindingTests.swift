import EventBus
import EventBusTesting
import Testing

@testable import EventBusRabbit

/// Bindings that are gone while the objects that they connect exist.
@Suite(.timeLimit(.minutes(3)))
struct LostBindingTests {
    @Test(arguments: RabbitConfiguration.QueueType.allCases)
    func `what the broker dead-letters is kept after another service has declared the exchange of dead letters again`(
        type: RabbitConfiguration.QueueType
    ) async throws {
        let broker = try await TestBroker.shared()
        try #require(broker.directory != nil, "needs a broker of our own")
        // Newer brokers are asked for bindings rarely.
        guard try await broker.majorVersion() < 4 else { return }
        let host = freshName()
        try await broker.addVirtualHost(host)
        let topic = Topic("order.created")
        @Sendable func configuration(asking interval: Duration) throws -> RabbitConfiguration {
            try broker.configuration {
                $0.virtualHost = host
                $0.queueType = type
                $0.consumerCheckInterval = interval
            }
        }
        @Sendable func service(_ group: String, asking interval: Duration) throws -> (EventBus, Subscription) {
            let bus = try EventBus(transport: .rabbit(try configuration(asking: interval)))
            return (bus, bus.subscribe(to: TopicPattern(topic), group: group, name: "probe") { _, _ in })
        }
        // The second one checks for objects every five seconds, so that the first one restores the exchange.
        let (first, _) = try service("a", asking: .milliseconds(200))
        let (second, subscription) = try service("b", asking: .seconds(1))
        try await first.withRunning {
            try await second.withRunning {
                try await eventually("the second has checked once") {
                    second.health().components.contains { $0.name.hasSuffix(".probe") && $0.details["consumers"] == 1 }
                }
                await subscription.pause()
                let letters = second.deadLetters(of: "b")
                @Sendable func expire() async throws {
                    try await second.publish(
                        Envelope(topic: topic, payload: []),
                        options: .init(expiration: .milliseconds(50))
                    )
                }
                try await expire()
                try await eventually("a dead letter of the broker") { try await letters.count() == 1 }
                try await RawClient.delete(exchange: "eventbus.dead.v1", try configuration(asking: .seconds(1)))
                let deleted = ContinuousClock.now
                try await eventually("another one", within: .seconds(40)) {
                    try await expire()
                    return try await letters.count() > 1
                }
                print("\(type): bound again after \(deleted.duration(to: .now))")
            }
        }
    }

    @Test func `delays go on after the binding from one level to the next was deleted`() async throws {
        let broker = try await TestBroker.shared()
        try #require(broker.directory != nil, "needs a broker of our own")
        guard try await broker.majorVersion() < 4 else { return }
        let host = freshName()
        try await broker.addVirtualHost(host)
        let configuration = try broker.configuration {
            $0.virtualHost = host
            $0.consumerCheckInterval = .milliseconds(100)
        }
        let bus = try EventBus(transport: .rabbit(configuration))
        let handled = SeenNumbers()
        let topic = Topic("order.created")
        bus.subscribe(to: TopicPattern(topic), group: "a", name: "probe") { event, _ in handled.note(event.envelope) }
        try await bus.withRunning {
            try await RawClient.unbind(
                exchange: "eventbus.delay.v1.0",
                from: "eventbus.delay.v1.1",
                key: DelayRoute.pattern(bit: 0, ofLevel: 1),
                configuration
            )
            // 400 ms: bit 2 is set, and bits 1 and 0 are not.
            for number in 0..<40 {
                try await bus.publish(
                    Envelope(topic: topic, payload: Array("\(number)".utf8)),
                    options: .init(delay: .milliseconds(400))
                )
            }
            try await eventually("all are handled", within: .seconds(40)) { handled.all == Set(0..<40) }
        }
    }
}

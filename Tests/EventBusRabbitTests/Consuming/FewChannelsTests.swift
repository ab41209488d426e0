import EventBus
import EventBusTesting
import Testing

@testable import EventBusRabbit

/// A broker that grants few channels to a connection.
@Suite(.timeLimit(.minutes(3)))
struct FewChannelsTests {
    @Test func `a consumer that is attached again and the checks have their channels`() {
        #expect(ConsumerManager.room(forChannels: 2047) >= 1000)
        #expect(ConsumerManager.room(forChannels: 128) == 60)
        #expect(ConsumerManager.room(forChannels: 12) == 2)
        #expect(ConsumerManager.room(forChannels: 1) == 1)
    }

    @Test func `more subscriptions than a connection has channels are attached, and what they need is watched`()
        async throws
    {
        let broker = try await TestBroker.start(configuration: "channel_max = 12\n")
        do {
            try await run(on: broker)
        } catch {
            await broker.stop()
            throw error
        }
        await broker.stop()
    }

    @Test func `the queues of all connections are bound when the exchange was declared again on one`() async throws {
        let name = freshName()
        let configuration = try await TestBroker.shared().configuration {
            $0.exchange = "events-\(name)"
            $0.maximumConsumersPerConnection = 2
            // No check and no interval restores anything.
            $0.consumerCheckInterval = .seconds(600)
        }
        let transport = try RabbitTransport(configuration)
        let bus = EventBus(transport: transport)
        let handled = SeenNumbers()
        let topic = try Topic(validating: "\(name).created")
        let subscriptions = (0..<5).map { number in
            bus.subscribe(to: TopicPattern(topic), group: "group-\(name)", name: "n\(number)") { _, _ in
                handled.note(Envelope(topic: topic, payload: Array("\(number)".utf8)))
            }
        }
        try await bus.withRunning {
            for subscription in subscriptions { try await subscription.attached() }
            try await RawClient.delete(exchange: configuration.exchange, configuration)
            let managers = transport.core.managers.all
            #expect(managers.count == 3)
            #expect(await managers[1].declareAgain("a check of this manager"))
            try await eventually("handled by all") {
                try await bus.publish(Envelope(topic: topic, payload: []))
                return handled.all == Set(0..<5)
            }
        }
    }

    private func run(on broker: TestBroker) async throws {
        let configuration = try broker.configuration { $0.consumerCheckInterval = .milliseconds(100) }
        let bus = try EventBus(transport: .rabbit(configuration))
        let handled = SeenNumbers()
        let topic = Topic("order.created")
        let subscriptions = (0..<15).map { number in
            bus.subscribe(to: TopicPattern(topic), group: "group", name: "n\(number)") { _, _ in
                handled.note(Envelope(topic: topic, payload: Array("\(number)".utf8)))
            }
        }
        @Sendable func connections() -> Int {
            bus.health().components.count { $0.name.contains(".consume") && $0.details["connections"] != nil }
        }
        try await bus.withRunning {
            try await eventually("all are attached", within: .seconds(90)) { bus.health().isReady }
            for subscription in subscriptions { try await subscription.attached() }
            #expect(connections() == 8)
            try await bus.publish(Envelope(topic: topic, payload: []))
            try await eventually("handled by all") { handled.all == Set(0..<15) }
            // Nothing but the watch finds these missing.
            for number in [0, 14] {
                let queue = "eventbus.delay.v1.due.group.n\(number)"
                try await RawClient.delete(queue: queue, configuration)
                try await eventually("\(queue) is declared again") {
                    try await RawClient.count(queue: queue, configuration) != nil
                }
            }
            // A session that ends makes room for the next one.
            for subscription in subscriptions { try await subscription.changeConcurrency(to: 3) }
            for subscription in subscriptions { try await subscription.attached() }
            #expect(connections() == 8)
        }
    }
}

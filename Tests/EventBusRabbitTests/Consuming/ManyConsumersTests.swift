import EventBus
import EventBusTesting
import Testing

@testable import EventBusRabbit

/// More subscriptions than one connection has channels.
@Suite(.timeLimit(.minutes(2)))
struct ManyConsumersTests {
    @Test func `consumers that one connection has no room for are attached on further ones`() async throws {
        let name = freshName()
        let configuration = try await TestBroker.shared().configuration {
            $0.exchange = "events-\(name)"
            $0.maximumConsumersPerConnection = 2
        }
        let bus = try EventBus(transport: .rabbit(configuration))
        let handled = Received()
        @Sendable func topic(_ number: Int) throws -> Topic { try Topic(validating: "\(name).t\(number)") }
        var subscriptions: [Subscription] = []
        for number in 0..<5 {
            subscriptions.append(
                bus.subscribe(
                    to: TopicPattern(try topic(number)),
                    group: "group-\(name)",
                    name: "n\(number)",
                    options: .init(retry: .fixed(.milliseconds(100), maximumAttempts: 2))
                ) { event, context in
                    if context.attempt == 1 || event.envelope.topic.rawValue.hasSuffix("4") { throw HandlerFailed() }
                    handled.add(event.envelope)
                }
            )
        }
        @Sendable func links() -> [String] {
            bus.health().components.filter { $0.details["connections"] != nil && $0.status == .ready }
                .map(\.name).filter { $0.contains("consume") }
        }
        let all = subscriptions
        try await bus.withRunning {
            for subscription in all { try await subscription.attached() }
            #expect(bus.health().isReady)
            #expect(
                links() == ["", "-2", "-3"].map { "transport.rabbitmq.consume\($0)" }
            )
            for number in 0..<5 { try await bus.publish(Envelope(topic: try topic(number), payload: [])) }
            try await eventually("handled, retried on their own connections") { handled.all.count == 4 }
            let letters = bus.deadLetters(of: "group-\(name)")
            try await eventually("dead letters are read") { try await letters.entries(limit: 10).count == 1 }
            // The next consumer takes the place of one that has ended.
            await all[0].cancel()
            let next = bus.subscribe(to: TopicPattern(try topic(0)), group: "group-\(name)", name: "next") { event, _ in
                handled.add(event.envelope)
            }
            try await next.attached()
            #expect(links().count == 3)
            try await bus.publish(Envelope(topic: try topic(0), payload: []))
            try await eventually("handled by the next") { handled.all.count == 5 }
        }
    }
}

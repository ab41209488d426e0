import EventBus
import EventBusRabbit
import EventBusTesting
import Testing

/// Requests whose addresses for replies end the broker's channel or connection.
@Suite(.timeLimit(.minutes(3)))
struct ForgedReplyTests {
    private struct Question: RequestEvent {
        typealias Reply = Int
        static let topic: Topic = "forged.question"
        var number: Int
    }

    private struct Order: Event {
        static let topic: Topic = "forged.order"
        var number: Int
    }

    /// A connection's component of the health report.
    private func link(_ bus: EventBus, _ name: String) -> ComponentHealth? {
        bus.health().components.first { $0.name == "transport.rabbitmq.\(name)" }
    }

    @Test func `forged addresses end at most the connection for replies, and no retry becomes a dead letter`()
        async throws
    {
        let name = freshName()
        let configuration = try await TestBroker.shared().configuration { $0.exchange = "events-\(name)" }
        let bus = try EventBus(transport: .rabbit(configuration))
        let group = "group-\(name)"
        let (answered, handled) = (Received(), Received())
        bus.respond(to: Question.self, group: group, name: "question") { question, context in
            answered.add(context.envelope)
            return question.number
        }
        let options = SubscriptionOptions(retry: .fixed(.milliseconds(20), maximumAttempts: 1000))
        bus.subscribe(to: Order.self, group: group, name: "order", options: options) { _, context in
            // Retries are in flight for as long as the attack lasts.
            if answered.all.count < Self.addresses.count { throw HandlerFailed() }
            handled.add(context.envelope)
        }
        try await bus.withRunning {
            for number in 0..<8 { try await bus.publish(Order(number: number)) }
            #expect(link(bus, "reply") == nil)
            try await HostilePeer(configuration: configuration).ask(Self.addresses, topic: Question.topic.rawValue)
            try await eventually("answered and retried", within: .seconds(60)) {
                answered.all.count >= Self.addresses.count && handled.all.count == 8
            }
            // An honest request is answered afterwards. Its reply may share a connection with a forged one.
            try await eventually("an honest request is answered", within: .seconds(60)) {
                (try? await bus.request(Question(number: 7), timeout: .seconds(2))) == 7
            }
            #expect(link(bus, "publish")?.details["connections"] == 1)
            #expect(link(bus, "publish")?.status == .ready)
            #expect(link(bus, "reply")?.status == .ready)
            let letters = try await bus.deadLetters(of: group).count()
            #expect(letters == 0)
        }
    }

    private static let addresses =
        ForgedReplyTo.malformed.filter { $0.utf8.count <= 255 } + Array(repeating: ForgedReplyTo.wrongHash, count: 8)
        + ForgedReplyTo.wellFormed
}

extension HostilePeer {
    /// Sends a request for each address.
    fileprivate func ask(_ addresses: [String], topic: String) async throws {
        let messages = addresses.enumerated().map { number, address in
            HostileMessage(
                number: number,
                topic: topic,
                forgeries: [Forgery(field: .property(.replyTo), value: .text(address))]
            )
        }
        let accepted = try await send(messages)
        #expect(accepted == messages.count)
    }
}

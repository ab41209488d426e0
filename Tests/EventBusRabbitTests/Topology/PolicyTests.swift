import EventBus
import EventBusRabbit
import EventBusTesting
import InMemoryLogging
import Logging
import Testing

/// Policies of an operator that reach the exchanges and queues of the library.
@Suite(.timeLimit(.minutes(2)))
struct PolicyTests {
    @Test func `retries that a policy hastens are handled, and the log names the policy as the likely cause`()
        async throws
    {
        let broker = try await TestBroker.shared()
        try #require(broker.directory != nil, "needs a broker of our own")
        let name = freshName()
        // A separate virtual host, because the delay levels belong to all services of one.
        try await broker.addVirtualHost(name)
        let configuration = try broker.configuration { $0.virtualHost = name }
        let log = InMemoryLogHandler()
        let bus = try EventBus(transport: .rabbit(configuration, logger: Logger(label: "t", factory: { _ in log })))
        let attempts = Locked<[Int]>([])
        bus.subscribe(
            to: "order.created",
            group: "mail",
            name: "orders",
            options: .init(retry: .fixed(.seconds(300), maximumAttempts: 3))
        ) { _, context in
            attempts.withLock { $0.append(context.attempt) }
            if context.attempt < 3 { throw HandlerFailed() }
        }
        try await bus.withRunning {
            try await broker.control(
                "set_policy",
                "-p",
                name,
                "short",
                "^eventbus\\.delay\\.",
                #"{"message-ttl":100}"#,
                "--apply-to",
                "queues"
            )
            try await eventually("the policy is in force") {
                let queues = try await broker.control("list_queues", "-p", name, "name", "policy", "--no-table-headers")
                return queues.split(separator: "\n").contains {
                    $0.contains("eventbus.delay.v1.") && $0.contains("short")
                }
            }
            try await bus.publish(Envelope(topic: "order.created", payload: []))
            try await eventually("handled at the third attempt", within: .seconds(60)) {
                attempts.withLock { $0 } == [1, 2, 3]
            }
            try await eventually("both early retries are in the log") {
                log.entries.count { "\($0.message)".hasPrefix("delayed event arrived early") } == 2
            }
            #expect(try await bus.deadLetters(of: "mail").count() == 0)
        }
    }

    @Test func `with an alternate exchange an event without a subscription counts as routed`() async throws {
        let broker = try await TestBroker.shared()
        try #require(broker.directory != nil, "needs a broker of our own")
        let name = freshName()
        let configuration = try broker.configuration { $0.exchange = "events-\(name)" }
        let topic = try Topic(validating: "\(name).unseen")
        let unread = "unread-\(name)"
        let bus = try EventBus(transport: .rabbit(configuration))
        try await bus.withRunning {
            #expect(try await bus.publish(Envelope(topic: topic, payload: [])).outcome == .unroutable)
            try await RawClient.declare(queue: unread, configuration)
            try await broker.control(
                "set_policy",
                name,
                "^events-\(name)$",
                #"{"alternate-exchange":"amq.fanout"}"#,
                "--apply-to",
                "exchanges"
            )
            try await RawClient.bind(queue: unread, to: "amq.fanout", configuration)
            let options = PublishOptions(requiresSubscriber: true)
            try await eventually("the policy is in force") {
                do {
                    return try await bus.publish(Envelope(topic: topic, payload: []), options: options).outcome
                        == .routed
                } catch let error as EventBusError where error.code == .unroutable {
                    return false
                }
            }
        }
        try await broker.control("clear_policy", name)
    }
}

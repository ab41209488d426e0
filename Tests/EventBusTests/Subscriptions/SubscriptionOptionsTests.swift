import EventBus
import EventBusInMemory
import Testing

@Suite("Invalid subscription options", .timeLimit(.minutes(1)))
struct SubscriptionOptionsTests {
    struct Case: Sendable, CustomTestStringConvertible {
        var options: SubscriptionOptions
        /// A part of the error with the problem, and a part with the remedy.
        var parts: [String]
        var testDescription: String { parts[0] }

        init(_ parts: String..., change: (inout SubscriptionOptions) -> Void) {
            self.options = SubscriptionOptions()
            self.parts = parts
            change(&options)
        }
    }

    static let cases: [Case] = [
        Case("concurrency 0", "give 1 to 65535") { $0.concurrency = 0 },
        Case("concurrency -1") { $0.concurrency = -1 },
        Case("concurrency \(Int.max)") { $0.concurrency = .max },
        Case("handlerTimeout 0.0 seconds", "give nil") { $0.handlerTimeout = .zero },
        Case("handlerTimeout -1.0 seconds") { $0.handlerTimeout = .seconds(-1) },
        Case("broadcast and an inbox", "leave one of the two out") {
            $0.broadcast = true
            $0.inbox = InMemoryInbox()
        },
        Case("broadcast and an inbox") {
            $0.broadcast = true
            $0.middleware = [DeduplicationMiddleware(inbox: InMemoryInbox())]
        },
        Case("2 inboxes", "leave all but one out") {
            $0.inbox = InMemoryInbox()
            $0.middleware = [DeduplicationMiddleware(inbox: InMemoryInbox())]
        },
        Case("maximumDeferral -1.0 seconds", "give zero") { $0.maximumDeferral = .seconds(-1) },
        Case("prefetch 15 and concurrency 16", "at least the concurrency") { $0.prefetch = 15 },
        Case("maximumHold 0.0 seconds", "half of the broker's consumer timeout") { $0.maximumHold = .zero },
        Case("broadcast and formerPatterns", "leave formerPatterns out") {
            $0.broadcast = true
            $0.formerPatterns = ["order.#"]
        },
        Case("inboxOptions.lease 0.0 seconds") {
            $0.inbox = InMemoryInbox()
            $0.inboxOptions.lease = .zero
        },
        Case("inboxOptions.lease -1.0 seconds") {
            $0.inbox = InMemoryInbox()
            $0.inboxOptions.lease = .seconds(-1)
        },
        Case("inboxOptions.retention 29.0 seconds", "shorter than the lease") {
            $0.inbox = InMemoryInbox()
            $0.inboxOptions.retention = .seconds(29)
        },
        Case("inboxOptions.recheckInterval 0.0 seconds") {
            $0.inbox = InMemoryInbox()
            $0.inboxOptions.recheckInterval = .zero
        },
    ]

    @Test("A subscription with such options fails with an error that states the remedy", arguments: cases)
    func rejected(_ option: Case) async throws {
        let bus = EventBus(transport: .inMemory())
        let subscription = bus.subscribe(to: OrderCreated.self, group: "g", options: option.options) { _, _ in }
        let error = await #expect(throws: EventBusError.self) { try await subscription.attached() }
        #expect(error?.code == .invalidConfiguration)
        for part in option.parts + ["g.order-created"] {
            #expect(error?.message.contains(part) == true, "\(error?.message ?? "")")
        }
        await #expect(throws: EventBusError.self) { try await bus.run() }
    }

    @Test(
        "A responder fails with options that no responder can have",
        arguments: [
            Case("broadcast", "leave broadcast out") { $0.broadcast = true },
            Case("an inbox", "leave the inbox out") { $0.inbox = InMemoryInbox() },
        ]
    )
    func rejectedResponder(_ option: Case) async throws {
        let bus = EventBus(transport: .inMemory())
        let responder = bus.respond(to: GetQuote.self, group: "g", options: option.options) { _, _ in .init(price: 1) }
        let error = await #expect(throws: EventBusError.self) { try await responder.attached() }
        #expect(error?.code == .invalidConfiguration)
        for part in option.parts { #expect(error?.message.contains(part) == true, "\(error?.message ?? "")") }
    }

    @Test("An inbox in the middleware of the bus counts among the options of each subscription")
    func inboxOfTheBus() async throws {
        var configuration = EventBusConfiguration()
        configuration.consumeMiddleware.append(DeduplicationMiddleware(inbox: InMemoryInbox()))
        let bus = EventBus(transport: .inMemory(), configuration: configuration)
        let subscriptions = [
            bus.subscribe(to: OrderCreated.self, group: "a", options: .init(broadcast: true)) { _, _ in },
            bus.subscribe(to: OrderCreated.self, group: "b", options: .init(inbox: InMemoryInbox())) { _, _ in },
            bus.respond(to: GetQuote.self, group: "c") { _, _ in .init(price: 1) },
        ]
        for subscription in subscriptions {
            #expect(subscription.health.status == .failed, "\(subscription.group)")
            #expect(subscription.health.reason?.contains("inbox") == true, "\(subscription.group)")
        }
        let good = bus.subscribe(to: OrderCreated.self, group: "d") { _, _ in }
        #expect(good.health.status == .notReady)
    }

    @Test(
        "An event is handled although next to no time is left to hold it",
        arguments: [
            SubscriptionOptions(prefetch: 32), SubscriptionOptions(inbox: InMemoryInbox()),
            SubscriptionOptions(ordering: .byPartitionKey), SubscriptionOptions(broadcast: true),
        ]
    )
    func shortHold(options: SubscriptionOptions) async throws {
        var options = options
        options.maximumHold = .nanoseconds(1)
        let broker = InMemoryBroker()
        let bus = EventBus(transport: .inMemory(broker))
        let handled = Locked(0)
        bus.subscribe(to: OrderCreated.self, group: "g", options: options) { _, _ in handled.withLock { $0 += 1 } }
        try await bus.withRunning {
            for number in 0..<100 { try await bus.publish(OrderCreated(orderID: "\(number % 3)")) }
            try await broker.settled()
            #expect(handled.withLock { $0 } == 100)
        }
    }
}

import EventBus
import EventBusInMemory
import EventBusTesting
import Logging
import Testing

@Suite("Middleware that swallows errors", .timeLimit(.minutes(1)))
struct SwallowedErrorTests {
    private struct Step: ConsumeMiddleware {
        let body: @Sendable (EventContext, ConsumeNext) async throws -> Void

        func consume(_ context: EventContext, next: ConsumeNext) async throws { try await body(context, next) }

        /// A step that ends every attempt without an error.
        static let ignoring = Step { context, next in
            do {
                try await next(context)
            } catch {
                context.logger.warning("ignored \(error)")
            }
        }
    }

    private let clock = ManualClock()
    private let broker: InMemoryBroker

    init() {
        broker = InMemoryBroker(clock: clock)
    }

    private func subscribe(_ bus: EventBus, _ inbox: any Inbox, _ step: Step, retry: RetryPolicy = .never) -> Notes<
        String
    > {
        let handled = Notes<String>()
        let options = SubscriptionOptions(concurrency: 2, retry: retry, inbox: inbox, middleware: [step])
        bus.subscribe(to: OrderCreated.self, group: "g", name: "orders", options: options) { order, context in
            handled.add("\(order.orderID)/\(context.attempt)")
        }
        return handled
    }

    @Test("It acknowledges no event for which the inbox cannot be reached")
    func unreachableInbox() async throws {
        let inbox = ScriptedInbox(clock: clock)
        inbox.fail(begins: 5)
        let bus = EventBus(transport: .inMemory(broker))
        let handled = subscribe(bus, inbox, .ignoring)
        try await bus.withRunning {
            for number in 1...3 { try await bus.publish(OrderCreated(orderID: "\(number)")) }
            try await broker.settled()
            #expect(handled.values.sorted() == ["1/1", "2/1", "3/1"])
            #expect(bus.health().isReady)
        }
    }

    @Test("It acknowledges no event for which the inbox fails although it answers for others")
    func ownError() async throws {
        let failures = Locked(3)
        let inbox = ScriptedInbox(clock: clock) { call, key in
            guard call == .begin, key.eventID == "locked" else { return }
            let fails = failures.withLock { failures in
                failures -= 1
                return failures >= 0
            }
            if fails { throw ScriptedInbox.StoreError() }
        }
        let bus = EventBus(transport: .inMemory(broker))
        let handled = subscribe(bus, inbox, .ignoring)
        try await bus.withRunning {
            try await bus.publish(OrderCreated(orderID: "1"), options: .init(id: "locked"))
            try await broker.settled()
            #expect(handled.values == ["1/1"])
        }
    }

    @Test("It acknowledges no copy of an event that another consumer is handling")
    func claimedElsewhere() async throws {
        let inbox = InMemoryInbox(clock: clock)
        let bus = EventBus(transport: .inMemory(broker))
        let handled = subscribe(bus, inbox, .ignoring)
        let key = InboxKey(topic: OrderCreated.topic, eventID: "1", subscription: "g.orders")
        guard case .new = try await inbox.begin(key, lease: .seconds(60)) else {
            Issue.record("a new event was not claimed")
            return
        }
        try await bus.withRunning {
            try await bus.publish(OrderCreated(orderID: "1"), options: .init(id: "1"))
            // The other consumer has died, so that its claim ends.
            try await broker.settled()
            #expect(handled.values == ["1/1"])
            #expect(clock.now.offset >= .seconds(60))
        }
    }

    @Test("A step that asks an inbox again, which answers then, has the event handled and acknowledged")
    func askedAgain() async throws {
        let inbox = ScriptedInbox(clock: clock)
        inbox.fail(begins: 1)
        let bus = EventBus(transport: .inMemory(broker))
        let again = Step { context, next in
            do { try await next(context) } catch { try await next(context) }
        }
        let handled = subscribe(bus, inbox, again)
        try await bus.withRunning {
            try await bus.publish(OrderCreated(orderID: "1"))
            try await broker.settled()
            #expect(handled.values == ["1/1"])
            #expect(inbox.counts.begins == 2)
            #expect(clock.now.offset == .zero, "the subscription paused")
        }
    }

    @Test("A crash that a broker under test injects after the handler is not swallowed")
    func injectedCrash() async throws {
        let faults = FaultPlan(
            seed: 1,
            connectionLoss: 0,
            lostConfirm: 0,
            duplicateDelivery: 0,
            reordering: 0,
            slowDelivery: 0,
            handlerCrash: 1
        )
        let broker = InMemoryBroker(clock: clock, faults: faults)
        let bus = EventBus(transport: .inMemory(broker))
        let handled = Notes<String>()
        let options = SubscriptionOptions(middleware: [Step.ignoring])
        bus.subscribe(to: OrderCreated.self, group: "g", options: options) { order, context in
            handled.add("\(order.orderID)/\(context.attempt)")
        }
        try await bus.withRunning {
            for number in 1...20 { try await bus.publish(OrderCreated(orderID: "\(number)")) }
            try await broker.settled()
            // Two crashes strike each of them.
            let values = Set(handled.values)
            let missing = (1...20).filter { !values.contains("\($0)/3") }
            #expect(missing.isEmpty, "acknowledged by a crashed attempt: \(missing)")
        }
    }
}

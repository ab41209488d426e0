import EventBus
import EventBusInMemory
import EventBusTesting
import Testing

@Suite("Derived identities if middleware runs the handler again", .timeLimit(.minutes(1)))
struct RepeatedHandlingTests {
    /// Middleware that runs the handler again if it fails, with closures that run around the calls.
    private struct Again: ConsumeMiddleware {
        var before: @Sendable (EventContext) async throws -> Void = { _ in }
        var between: @Sendable (EventContext) async throws -> Void = { _ in }
        var after: @Sendable (EventContext) async throws -> Void = { _ in }

        func consume(_ context: EventContext, next: ConsumeNext) async throws {
            try await before(context)
            do {
                try await next(context)
            } catch {
                try await between(context)
                try await next(context)
            }
            try await after(context)
        }
    }

    private let broker = InMemoryBroker(clock: ManualClock())
    private let effects = Notes<String>()

    private func makeBus() -> EventBus {
        let bus = EventBus(transport: .inMemory(broker))
        bus.subscribe(
            to: OrderConfirmed.self,
            group: "confirmed",
            options: .init(concurrency: 1, inbox: broker.makeInbox())
        ) { [effects] order, _ in effects.add(order.orderID) }
        return bus
    }

    private func options(_ step: Again, _ publishing: SubscriptionOptions.Publishing) -> SubscriptionOptions {
        SubscriptionOptions(
            retry: .fixed(.seconds(1), maximumAttempts: 3),
            middleware: [step],
            publishing: publishing
        )
    }

    @Test(
        "Every call publishes the same events under the same identities, so that they have one effect",
        arguments: [SubscriptionOptions.Publishing.immediately, .whenHandled]
    )
    func calls(publishing: SubscriptionOptions.Publishing) async throws {
        let bus = makeBus()
        let ids = Notes<[EventID]>()
        let step = Again(after: { if $0.attempt == 1 { throw Broken() } })
        bus.subscribe(to: OrderCreated.self, group: "orders", options: options(step, publishing)) { _, context in
            var published: [EventID] = []
            for _ in 0..<2 { published.append(try await bus.publish(OrderConfirmed(orderID: "1")).id) }
            ids.add(published)
            // The first call of the first attempt fails, and its second call succeeds but the attempt ends in a crash.
            if ids.values.count == 1 { throw Broken() }
        }
        try await bus.withRunning {
            try await bus.publish(OrderCreated(orderID: "1"))
            try await broker.settled()
            #expect(ids.values.count == 3)
            #expect(Set(ids.values).count == 1)
            #expect(Set(ids.values.joined()).count == 2)
            #expect(effects.values == ["1", "1"])
        }
    }

    @Test(
        "An equal event of the middleware itself has an identity of its own in every place",
        arguments: [SubscriptionOptions.Publishing.immediately, .whenHandled]
    )
    func middleware(publishing: SubscriptionOptions.Publishing) async throws {
        let bus = makeBus()
        let (handler, middleware) = (Notes<EventID>(), Notes<EventID>())
        let publish: @Sendable (EventContext) async throws -> Void = { _ in
            middleware.add(try await bus.publish(OrderConfirmed(orderID: "1")).id)
        }
        let step = Again(
            before: publish,
            between: publish,
            after: { context in
                try await publish(context)
                if context.attempt == 1 { throw Broken() }
            }
        )
        bus.subscribe(to: OrderCreated.self, group: "orders", options: options(step, publishing)) { _, _ in
            handler.add(try await bus.publish(OrderConfirmed(orderID: "1")).id)
            if handler.values.count % 2 == 1 { throw Broken() }
        }
        try await bus.withRunning {
            try await bus.publish(OrderCreated(orderID: "1"))
            try await broker.settled()
            #expect(handler.values.count == 4)
            #expect(Set(handler.values).count == 1)
            let (first, second) = (middleware.values.prefix(3), middleware.values.dropFirst(3))
            #expect(Array(first) == Array(second))
            #expect(Set(first).count == 3)
            #expect(Set(first).isDisjoint(with: handler.values))
        }
    }

    @Test("A task that outlives a successful call publishes at once, although an earlier call failed")
    func outliving() async throws {
        let bus = makeBus()
        let ended = Signal()
        let tasks = Notes<Task<PublishOutcome, any Error>>()
        let subscription = options(Again(), .whenHandled)
        bus.subscribe(to: OrderCreated.self, group: "orders", options: subscription) { _, _ in
            let task = Task {
                try await ended.wait()
                return try await bus.publish(OrderConfirmed(orderID: "late")).outcome
            }
            tasks.add(task)
            if tasks.values.count == 1 { throw Broken() }
        }
        try await bus.withRunning {
            try await bus.publish(OrderCreated(orderID: "1"))
            try await broker.settled()
            ended.raise()
            let tasks = tasks.values
            #expect(tasks.count == 2)
            await #expect(throws: CancellationError.self) { try await tasks[0].value }
            let outcome = try await tasks[1].value
            #expect(outcome == .routed)
            try await broker.settled()
            #expect(effects.values == ["late"])
        }
    }
}

import EventBus
import EventBusInMemory
import EventBusTesting
import Testing

@Suite("Events that are published when their handler has returned", .timeLimit(.minutes(1)))
struct PublishWhenHandledTests {
    private let clock = ManualClock()
    private let broker: InMemoryBroker

    init() {
        broker = InMemoryBroker(clock: clock)
    }

    private struct Failed: Error {}

    /// The orders that were confirmed, in order.
    private final class Confirmations: Sendable {
        private let orderIDs = Locked<[String]>([])

        var all: [String] { orderIDs.withLock { $0 } }

        func add(_ orderID: String) { orderIDs.withLock { $0.append(orderID) } }
    }

    private func confirmations(_ bus: EventBus, inbox: (any Inbox)? = nil) -> Confirmations {
        let confirmed = Confirmations()
        bus.subscribe(
            to: OrderConfirmed.self,
            group: "confirmed",
            options: SubscriptionOptions(concurrency: 1, inbox: inbox)
        ) { order, _ in
            confirmed.add(order.orderID)
        }
        return confirmed
    }

    private func options(attempts: Int = 5, inbox: (any Inbox)? = nil) -> SubscriptionOptions {
        SubscriptionOptions(
            retry: .fixed(.seconds(1), maximumAttempts: attempts),
            inbox: inbox,
            publishing: .whenHandled
        )
    }

    @Test("An event is held until its handler has returned, and then reaches subscribers and local listeners in order")
    func held() async throws {
        let bus = EventBus(transport: .inMemory(broker))
        let confirmed = confirmations(bus)
        let local = Locked<[String]>([])
        bus.local.on(OrderConfirmed.self) { order in local.withLock { $0.append(order.orderID) } }
        let (reached, proceed) = (Signal(), Signal())
        bus.subscribe(to: OrderCreated.self, group: "orders", options: options()) { _, _ in
            for number in 1...3 {
                let receipt = try await bus.publish(OrderConfirmed(orderID: "\(number)"))
                #expect(receipt.outcome == .held)
            }
            let batch = try await bus.publish(contentsOf: [OrderConfirmed(orderID: "4"), OrderConfirmed(orderID: "5")])
            #expect(try batch.map { try $0.get().outcome } == [.held, .held])
            reached.raise()
            try await proceed.wait()
        }
        try await bus.withRunning {
            try await bus.publish(OrderCreated(orderID: "1"))
            try await reached.wait()
            #expect(broker.queues.allSatisfy { !$0.name.contains("confirmed") || $0.ready + $0.unsettled == 0 })
            #expect(local.withLock { $0 }.isEmpty)
            proceed.raise()
            try await broker.settled()
            #expect(confirmed.all == ["1", "2", "3", "4", "5"])
            #expect(local.withLock { $0 } == ["1", "2", "3", "4", "5"])
        }
    }

    @Test("Events of an attempt that throws are discarded", arguments: DeferralTests.Way.all)
    func discarded(way: DeferralTests.Way) async throws {
        let bus = EventBus(transport: .inMemory(broker))
        let confirmed = confirmations(bus)
        var options = options()
        options.ordering = way.ordering
        options.broadcast = way.broadcast
        bus.subscribe(to: OrderCreated.self, group: "orders", options: options) { order, context in
            try await bus.publish(OrderConfirmed(orderID: "\(order.orderID)/\(context.attempt)"))
            if context.attempt < 3 { throw Failed() }
        }
        try await bus.withRunning {
            for number in 0..<10 { try await bus.publish(OrderCreated(orderID: "\(number)")) }
            try await broker.settled()
            #expect(confirmed.all.sorted() == (0..<10).map { "\($0)/3" })
        }
    }

    @Test("A publish that fails fails the attempt, and the next one publishes everything under the same identities")
    func failing() async throws {
        let transport = Locked((calls: 0, ids: [[EventID]]()))
        var forwarding = ForwardingTransport(to: .inMemory(broker))
        forwarding.onPublish = { base, envelope, options in
            guard envelope.topic == OrderConfirmed.topic else {
                return try await base.publish(envelope, options: options)
            }
            let call = transport.withLock { state in
                if state.calls % 3 == 0 { state.ids.append([]) }
                state.ids[state.ids.count - 1].append(envelope.id)
                state.calls += 1
                return state.calls
            }
            // The third of the first attempt.
            if call == 3 { throw EventBusError(.timedOut, "no confirm arrived") }
            return try await base.publish(envelope, options: options)
        }
        let bus = EventBus(transport: forwarding)
        let confirmed = confirmations(bus, inbox: broker.makeInbox())
        let attempts = Locked<[Int]>([])
        bus.subscribe(to: OrderCreated.self, group: "orders", options: options(inbox: broker.makeInbox())) {
            _,
            context in
            attempts.withLock { $0.append(context.attempt) }
            for number in 1...3 { try await bus.publish(OrderConfirmed(orderID: "\(number)")) }
        }
        try await bus.withRunning {
            try await bus.publish(OrderCreated(orderID: "1"))
            try await broker.settled()
            #expect(attempts.withLock { $0 } == [1, 2])
            #expect(confirmed.all == ["1", "2", "3"])
            let ids = transport.withLock { $0.ids }
            #expect(ids.count == 2 && ids.first == ids.last)
        }
    }

    @Test("An event without the subscriber that it requires fails every attempt, and the reason is in the dead letter")
    func unroutable() async throws {
        let bus = EventBus(transport: .inMemory(broker))
        bus.subscribe(to: OrderCreated.self, group: "orders", options: options(attempts: 2)) { _, _ in
            let receipt = try await bus.publish(OrderConfirmed(orderID: "1"), options: .init(requiresSubscriber: true))
            #expect(receipt.outcome == .held)
        }
        try await bus.withRunning {
            try await bus.publish(OrderCreated(orderID: "1"))
            try await broker.settled()
            let letter = try #require(try await bus.deadLetters(of: "orders").entries(limit: 1).first)
            #expect(letter.failure.reason == .attemptsExhausted)
            #expect(letter.failure.message.contains("no subscription matches topic order.confirmed"))
        }
    }

    @Test("An attempt that is repeated after a crash publishes under the same identities")
    func crashes() async throws {
        var faults = FaultPlan(seed: 7)
        faults.handlerCrash = 0.4
        let broker = InMemoryBroker(clock: clock, faults: faults)
        let bus = EventBus(transport: .inMemory(broker))
        let confirmed = Locked<[EventID]>([])
        bus.subscribe(to: OrderConfirmed.self, group: "confirmed") { _, context in
            confirmed.withLock { $0.append(context.id) }
        }
        bus.subscribe(to: OrderCreated.self, group: "orders", options: options(attempts: 50)) { order, _ in
            try await bus.publish(OrderConfirmed(orderID: order.orderID))
        }
        try await bus.withRunning {
            for number in 0..<100 { try await bus.publish(OrderCreated(orderID: "\(number)")) }
            try await broker.settled()
            #expect(confirmed.withLock { $0 }.count > 100)
            #expect(confirmed.withLock { Set($0) }.count == 100)
        }
    }

    @Test("Delays, invalid events and requests inside a handler work as outside of one")
    func others() async throws {
        let bus = EventBus(transport: .inMemory(broker))
        let confirmed = confirmations(bus)
        bus.respond(to: GetQuote.self, group: "quotes") { _, _ in GetQuote.Reply(price: 7) }
        let quote = Locked<GetQuote.Reply?>(nil)
        let start = clock.now
        bus.subscribe(to: OrderCreated.self, group: "orders", options: options()) { _, _ in
            let answer = try await bus.request(GetQuote(sku: "1"), timeout: .seconds(5))
            quote.withLock { $0 = answer }
            try await bus.publish(OrderConfirmed(orderID: "late"), options: .init(delay: .seconds(60)))
            var invalid = try bus.envelope(for: OrderConfirmed(orderID: "x"))
            invalid.id = ""
            await #expect(throws: EventBusError.self) { try await bus.publish(invalid) }
            let valid = try bus.envelope(for: OrderConfirmed(orderID: "y"))
            let batch = try await bus.publish(contentsOf: [invalid, valid])
            #expect((try? batch[0].get()) == nil)
            #expect(try batch[1].get().outcome == .held)
        }
        try await bus.withRunning {
            try await bus.publish(OrderCreated(orderID: "1"))
            try await broker.settled()
            #expect(quote.withLock { $0 } == GetQuote.Reply(price: 7))
            #expect(confirmed.all == ["y", "late"])
            #expect(clock.now >= start.advanced(by: .seconds(60)))
        }
    }

    @Test("A responder's events are sent before its reply, and discarded if it fails")
    func responder() async throws {
        let bus = EventBus(transport: .inMemory(broker))
        let confirmed = confirmations(bus)
        bus.respond(to: GetQuote.self, group: "quotes", options: options()) { request, _ in
            try await bus.publish(OrderConfirmed(orderID: request.sku))
            if request.sku == "bad" { throw Failed() }
            return GetQuote.Reply(price: 7)
        }
        try await bus.withRunning {
            _ = try await bus.request(GetQuote(sku: "good"), timeout: .seconds(5))
            await #expect(throws: EventBusError.self) {
                _ = try await bus.request(GetQuote(sku: "bad"), timeout: .seconds(5))
            }
            try await broker.settled()
            #expect(confirmed.all == ["good"])
        }
    }

    @Test("A task that outlives its handler publishes immediately")
    func outliving() async throws {
        let bus = EventBus(transport: .inMemory(broker))
        let confirmed = confirmations(bus)
        let proceed = Signal()
        let outcomes = Notes<PublishOutcome>()
        let task = Locked<Task<Void, any Error>?>(nil)
        bus.subscribe(to: OrderCreated.self, group: "orders", options: options()) { _, _ in
            let outliving = Task {
                try await proceed.wait()
                outcomes.add(try await bus.publish(OrderConfirmed(orderID: "later")).outcome)
            }
            task.withLock { $0 = outliving }
        }
        try await bus.withRunning {
            try await bus.publish(OrderCreated(orderID: "1"))
            try await broker.settled()
            proceed.raise()
            try await task.withLock { $0 }?.value
            try await broker.settled()
            #expect(outcomes.values == [.routed])
            #expect(confirmed.all == ["later"])
        }
    }

    /// The way in which an attempt fails after its handler has left a task behind.
    enum Failing: CaseIterable { case handler, publish, responder }

    @Test(
        "A task that outlives a failed attempt publishes nothing, because the next attempt does",
        arguments: Failing.allCases
    )
    func outlivingFailure(_ failing: Failing) async throws {
        let bus = EventBus(transport: .inMemory(broker))
        let confirmed = confirmations(bus)
        let failed = Signal()
        let errors = Notes<String>()
        let tasks = Locked<[Task<Void, Never>]>([])
        let leaveTask: @Sendable () -> Void = {
            let outliving = Task {
                try? await failed.wait()
                do {
                    try await bus.publish(OrderConfirmed(orderID: "late"))
                    errors.add("none")
                } catch is CancellationError {
                    errors.add("cancelled")
                } catch {
                    errors.add("\(error)")
                }
                let results = try? await bus.publish(contentsOf: [OrderConfirmed(orderID: "late")])
                if case .failure(is CancellationError)? = results?.first { errors.add("cancelled") }
            }
            tasks.withLock { $0.append(outliving) }
        }
        bus.subscribe(to: OrderCreated.self, group: "orders", options: options()) { _, context in
            if context.attempt == 1 {
                leaveTask()
                if failing == .handler { throw Failed() }
                try await bus.publish(
                    OrderConfirmed(orderID: "x"),
                    options: .init(delay: .seconds(1), expiration: .seconds(1))
                )
            } else {
                failed.raise()
                for task in tasks.withLock({ $0 }) { await task.value }
            }
        }
        bus.respond(to: GetQuote.self, group: "quotes", options: options()) { _, _ in
            leaveTask()
            throw Failed()
        }
        try await bus.withRunning {
            if failing == .responder {
                _ = try? await bus.request(GetQuote(sku: "1"), timeout: .seconds(5))
                try await broker.settled()
                failed.raise()
                for task in tasks.withLock({ $0 }) { await task.value }
            } else {
                try await bus.publish(OrderCreated(orderID: "1"))
            }
            try await broker.settled()
            #expect(errors.values == ["cancelled", "cancelled"])
            #expect(confirmed.all.isEmpty)
        }
    }

    @Test("A task that outlives a failed handler publishes nothing while the attempt still ends, but middleware does")
    func outlivingFailureWithinAttempt() async throws {
        let bus = EventBus(transport: .inMemory(broker))
        let confirmed = confirmations(bus)
        let failed = Signal()
        let task = Locked<Task<String, Never>?>(nil)
        let outcomes = Notes<String>()
        let inbox = ScriptedInbox(clock: clock) { call, _ in
            guard call == .abandon, let outliving = task.withLock({ $0.take() }) else { return }
            failed.raise()
            outcomes.add(await outliving.value)
        }
        var options = options(inbox: inbox)
        options.middleware = [
            Around { context, next in
                do {
                    try await next(context)
                } catch {
                    try await bus.publish(OrderConfirmed(orderID: "middleware"))
                    throw error
                }
            }
        ]
        bus.subscribe(to: OrderCreated.self, group: "orders", options: options) { _, context in
            guard context.attempt == 1 else { return }
            let outliving = Task {
                try? await failed.wait()
                return await Self.outcome { try await bus.publish(OrderConfirmed(orderID: "late")) }
            }
            task.withLock { $0 = outliving }
            throw Failed()
        }
        try await bus.withRunning {
            try await bus.publish(OrderCreated(orderID: "1"))
            try await broker.settled()
            #expect(outcomes.values == ["cancelled"])
            #expect(confirmed.all == ["middleware"])
        }
    }

    @Test("If middleware handles an event again in one attempt, what the first handler left behind publishes nothing")
    func handledAgain() async throws {
        let bus = EventBus(transport: .inMemory(broker))
        let confirmed = confirmations(bus)
        let again = Signal()
        let task = Locked<Task<String, Never>?>(nil)
        let outcomes = Notes<String>()
        var options = options()
        options.middleware = [
            Around { context, next in
                do { try await next(context) } catch { try await next(context) }
            }
        ]
        bus.subscribe(to: OrderCreated.self, group: "orders", options: options) { _, context in
            if let outliving = task.withLock({ $0 }) {
                again.raise()
                outcomes.add(await outliving.value)
                try await bus.publish(OrderConfirmed(orderID: "second"))
                return
            }
            try await bus.publish(OrderConfirmed(orderID: "first"))
            let outliving = Task {
                try? await again.wait()
                return await Self.outcome { try await bus.publish(OrderConfirmed(orderID: "late")) }
            }
            task.withLock { $0 = outliving }
            throw Failed()
        }
        try await bus.withRunning {
            try await bus.publish(OrderCreated(orderID: "1"))
            try await broker.settled()
            #expect(outcomes.values == ["cancelled"])
            #expect(confirmed.all == ["second"])
        }
    }

    private static func outcome(of publish: () async throws -> PublishReceipt) async -> String {
        do {
            return "\(try await publish().outcome)"
        } catch is CancellationError {
            return "cancelled"
        } catch {
            return "\(error)"
        }
    }
}

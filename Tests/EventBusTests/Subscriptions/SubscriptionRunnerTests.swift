import EventBus
import EventBusInMemory
import EventBusTesting
import InMemoryLogging
import Logging
import Testing

@Suite("Edge cases of subscriptions", .timeLimit(.minutes(1)))
struct SubscriptionRunnerTests {
    private let clock = ManualClock()
    private let broker: InMemoryBroker

    init() {
        broker = InMemoryBroker(clock: clock)
    }

    enum Wait: CaseIterable, Sendable {
        case heldByKey, heldBroadcast, paused, pausedByKey
    }

    @Test("A subscription that holds its deliveries can be cancelled and leaves no timer", arguments: Wait.allCases)
    func cancelWhileWaiting(for wait: Wait) async throws {
        let bus = EventBus(transport: .inMemory(broker))
        let inbox = ScriptedInbox(clock: clock)
        inbox.fail(begins: .max)
        var options = SubscriptionOptions(retry: .fixed(.seconds(60), maximumAttempts: 5))
        switch wait {
        case .heldByKey: options.ordering = .byPartitionKey
        case .heldBroadcast: options.broadcast = true
        case .paused: options.inbox = inbox
        case .pausedByKey: (options.ordering, options.inbox) = (.byPartitionKey, inbox)
        }
        let orders = bus.subscribe(to: OrderCreated.self, group: "g", options: options) { _, _ in throw Broken() }
        try await bus.withRunning {
            for number in 0..<5 { try await bus.publish(OrderCreated(orderID: "\(number)")) }
            try await eventually("it holds or pauses") {
                orders.health.details["held"] == 5 || orders.health.reason?.contains("paused") == true
            }
            await orders.cancel()
            #expect(broker.queues.reduce(0) { $0 + $1.ready } == (wait == .heldBroadcast ? 0 : 5))
            #expect(bus.health().isReady)
            // The timers of retries and probes are gone. The watchdog of the handlers may sleep.
            try await eventually("no timer is left") { clock.sleeperCount <= 1 }
        }
    }

    @Test("Two handlers that cancel each other's subscription are cancelled at the deadline of a shutdown")
    func cancelEachOther() async throws {
        var configuration = EventBusConfiguration()
        configuration.shutdownTimeout = .milliseconds(100)
        let bus = EventBus(transport: .inMemory(), configuration: configuration)
        let subscriptions = Locked<[Subscription]>([])
        let begun = Locked(0)
        let ended = Locked(0)
        for (index, name) in ["a", "b"].enumerated() {
            let subscription = bus.subscribe(to: OrderCreated.self, group: "g", name: name) { _, _ in
                begun.withLock { $0 += 1 }
                try await eventually("both run") { begun.withLock { $0 } == 2 }
                await subscriptions.withLock { $0[1 - index] }.cancel()
                ended.withLock { $0 += 1 }
            }
            subscriptions.withLock { $0.append(subscription) }
        }
        try await bus.withRunning {
            try await bus.publish(OrderCreated(orderID: "1"))
            try await eventually("both have ended") { ended.withLock { $0 } == 2 }
        }
    }

    @Test("A handler that throws its own cancellation error has failed an attempt")
    func ownCancellation() async throws {
        let bus = EventBus(transport: .inMemory(broker))
        let ways: [SubscriptionOptions] = [
            .init(), .init(ordering: .byPartitionKey), .init(broadcast: true),
            .init(inbox: InMemoryInbox(clock: clock)),
        ]
        for (index, options) in ways.enumerated() {
            bus.subscribe(to: OrderCreated.self, group: "g", name: "n\(index)", options: options) { _, _ in
                throw CancellationError()
            }
        }
        try await bus.withRunning {
            try await bus.publish(OrderCreated(orderID: "1"))
            try await broker.settled()
            let letters = try await bus.deadLetters(of: "g").entries(limit: 10)
            #expect(letters.count == 4)
            #expect(letters.allSatisfy { $0.failure.reason == .attemptsExhausted && $0.attempts == 12 })
        }
    }

    @Test("A retry beyond the longest delay of the broker is made after that delay")
    func longRetry() async throws {
        let bus = EventBus(transport: .inMemory(broker))
        let options = SubscriptionOptions(retry: .fixed(.seconds(60 * 86_400), maximumAttempts: 2))
        bus.subscribe(to: OrderCreated.self, group: "g", options: options) { _, _ in throw Broken() }
        try await bus.withRunning {
            try await bus.publish(OrderCreated(orderID: "1"))
            try await broker.settled()
            #expect(try await bus.deadLetters(of: "g").entries(limit: 2).map(\.attempts) == [2])
            #expect(clock.now.offset == bus.maximumDelay)
        }
    }

    @Test(
        "Any deadline, timeout and delay has an outcome",
        arguments: [Duration.zero, .seconds(-5), .seconds(Int64.min), .seconds(Int64.max)]
    )
    func durations(duration: Duration) async throws {
        let bus = EventBus(transport: .inMemory(broker))
        bus.subscribe(to: OrderCreated.self, group: "g") { _, _ in }
        bus.respond(to: GetQuote.self, group: "g") { _, _ in .init(price: 1) }
        let order = OrderCreated(orderID: "1")
        if duration <= .zero {
            for attempt in 0..<3 {
                let error = await #expect(throws: EventBusError.self) {
                    switch attempt {
                    case 0: try await bus.publish(order, options: .init(deadline: duration))
                    case 1: _ = try await bus.publish(contentsOf: [order], options: .init(deadline: duration))
                    default: _ = try await bus.request(GetQuote(sku: "1"), timeout: duration)
                    }
                }
                #expect(error?.code == .timedOut)
            }
        }
        try await bus.withRunning {
            try await bus.publish(order, options: .init(deadline: duration))
            for result in try await bus.publish(contentsOf: [order, order], options: .init(deadline: duration)) {
                _ = try result.get()
            }
            _ = try? await bus.request(GetQuote(sku: "1"), timeout: duration)
            do {
                try await bus.publish(order, options: .init(delay: duration))
            } catch let error as EventBusError {
                #expect(error.code == .unsupported && duration > .zero)
            }
            try await broker.settled()
        }
    }

    @Test("Dead letters can be replayed while no bus runs, and a group without dead letters has none")
    func stoppedDeadLetters() async throws {
        let bus = EventBus(transport: .inMemory(broker))
        bus.subscribe(to: OrderCreated.self, group: "g", options: .init(retry: .never)) { _, _ in throw Broken() }
        try await bus.withRunning {
            try await bus.publish(OrderCreated(orderID: "1"))
            try await broker.settled()
        }
        #expect(try await bus.deadLetters(of: "g").replayAll() == 1)
        #expect(broker.queues.first?.ready == 1)
        for group in ["", "x y", "g.g"] { #expect(try await bus.deadLetters(of: group).replayAll() == 0) }
    }

    @Test("By key, a delivery whose settlement is refused waits, and health and log report it")
    func refusedSettlement() async throws {
        let mayBury = Signal()
        var transport = ForwardingTransport(to: .inMemory(broker))
        transport.onAttach = { base, queue, sink in
            var consumer = ForwardingConsumer(to: try await base.attach(queue, to: sink))
            consumer.onSettle = { consumer, delivery, disposition in
                if case .deadLettered = disposition, !mayBury.isRaised {
                    throw EventBusError(.accessRefused, "no permission to write to g.dead")
                }
                try await consumer.settle(delivery, as: disposition)
            }
            return consumer
        }
        let log = InMemoryLogHandler()
        let bus = EventBus(transport: transport, logger: Logger(label: "test") { _ in log })
        let options = SubscriptionOptions(retry: .never, ordering: .byPartitionKey)
        let orders = bus.subscribe(to: OrderCreated.self, group: "g", options: options) { _, _ in throw Broken() }
        try await bus.withRunning {
            try await bus.publish(OrderCreated(orderID: "1"))
            try await eventually("health says so") { orders.health.status == .notReady }
            #expect(orders.health.reason?.contains("no permission to write to g.dead") == true)
            for _ in 0..<3 {
                try await clock.sleeper(dueBy: clock.now.advanced(by: .seconds(1)))
                clock.advance(by: .seconds(1))
            }
            mayBury.raise()
            try await eventually("it is settled") {
                clock.advance(by: .seconds(1))
                return orders.health.status == .ready
            }
            #expect(try await bus.deadLetters(of: "g").count() == 1)
        }
        #expect(log.entries.count { $0.message == "a delivery could not be settled" && $0.level == .warning } == 1)
    }
}

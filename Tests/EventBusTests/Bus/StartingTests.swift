import EventBus
import EventBusInMemory
import EventBusTesting
import InMemoryLogging
import Logging
import Testing

/// A bus with one subscription that cannot be attached.
@Suite("Starting with a subscription that cannot be attached", .timeLimit(.minutes(1)))
struct StartingTests {
    private let broker = InMemoryBroker()
    private let log = InMemoryLogHandler()
    private let mayAttach = Signal()

    /// A bus whose queue `stuck.*` waits for ``mayAttach``.
    private func makeBus() -> EventBus {
        let mayAttach = mayAttach
        let transport = ForwardingTransport(to: .inMemory(broker)) { queue in
            if queue.group == "stuck" { try await mayAttach.wait() }
        }
        let log = log
        return EventBus(transport: transport, logger: Logger(label: "test") { _ in log })
    }

    /// The messages that publishes no longer wait for the subscriptions that are not attached.
    private var impatience: [InMemoryLogHandler.Entry] {
        log.entries.filter { "\($0.message)".hasPrefix("subscriptions are not attached yet") }
    }

    @Test("The handler of an attached subscription can publish, and its event is handled at the first attempt")
    func handlersPublish() async throws {
        let bus = makeBus()
        let outcome = Locked<PublishOutcome?>(nil)
        let attempts = Locked<[Int]>([])
        bus.subscribe(to: OrderCreated.self, group: "good", options: .init(retry: .never)) { order, context in
            attempts.withLock { $0.append(context.attempt) }
            let receipt = try await bus.publish(OrderConfirmed(orderID: order.orderID))
            outcome.withLock { $0 = receipt.outcome }
        }
        bus.subscribe(to: OrderConfirmed.self, group: "stuck") { _, _ in }
        let other = EventBus(transport: .inMemory(broker))
        let running = Task { try await bus.run() }
        try await eventually("attached") { broker.queues.contains { $0.name == "good.order-created" } }
        try await other.withRunning { _ = try await other.publish(OrderCreated(orderID: "1")) }
        try await eventually("handled") { outcome.withLock { $0 } != nil }
        #expect(attempts.withLock { $0 } == [1])
        #expect(try await bus.deadLetters(of: "good").count() == 0)
        running.cancel()
        try await running.value
    }

    @Test("Publishes, batches, envelopes and requests from outside proceed although a subscription is missing")
    func othersPublish() async throws {
        let bus = makeBus()
        let handled = Locked<[String]>([])
        bus.subscribe(to: OrderCreated.self, group: "good") { order, _ in
            handled.withLock { $0.append(order.orderID) }
        }
        bus.respond(to: GetQuote.self, group: "good") { _, _ in .init(price: 7) }
        bus.subscribe(to: OrderCreated.self, group: "stuck") { _, _ in }
        let running = Task { try await bus.run() }
        async let early = bus.publish(OrderCreated(orderID: "early"), options: .init(deadline: .seconds(2)))
        async let quote = bus.request(GetQuote(sku: "a"), timeout: .seconds(20))
        #expect(try await early.outcome == .routed)
        for result in try await bus.publish(contentsOf: [OrderCreated(orderID: "batch")]) {
            #expect(try result.get().outcome == .routed)
        }
        let envelope = try bus.envelope(for: OrderCreated(orderID: "envelope"))
        #expect(try await bus.publish(envelope).outcome == .routed)
        for result in try await bus.publish(contentsOf: [envelope]) { #expect(try result.get().outcome == .routed) }
        #expect(try await quote.price == 7)
        try await eventually("handled") { handled.withLock { $0.count } == 4 }
        #expect(!running.isCancelled)
        bus.shutdown()
        try await running.value
    }

    @Test("Health and log name the missing subscription, and nothing asks to call run()")
    func health() async throws {
        let bus = makeBus()
        bus.subscribe(to: OrderCreated.self, group: "good") { _, _ in }
        bus.subscribe(to: OrderCreated.self, group: "stuck") { _, _ in }
        let running = Task { try await bus.run() }
        try await eventually("log") { !impatience.isEmpty }
        let health = bus.health()
        #expect(!health.isReady && health.isLive)
        #expect(health.reason.contains("bus: starting; not attached yet: stuck.order-created"))
        #expect(!health.reason.contains("run()"))
        #expect(impatience.map { $0.metadata["subscription"] } == ["stuck.order-created"])
        mayAttach.raise()
        try await eventually("ready") { bus.health().isReady }
        bus.shutdown()
        try await running.value
    }

    @Test("withRunning waits until every subscription is attached")
    func withRunning() async throws {
        let bus = makeBus()
        bus.subscribe(to: OrderCreated.self, group: "good") { _, _ in }
        bus.subscribe(to: OrderCreated.self, group: "stuck") { _, _ in }
        let mayAttach = mayAttach
        let hasRun = Locked(false)
        async let running: Void = bus.withRunning {
            #expect(bus.health().isReady)
            hasRun.withLock { $0 = true }
        }
        try await eventually("publishes go out") { !impatience.isEmpty }
        #expect(!hasRun.withLock { $0 })
        mayAttach.raise()
        try await running
        #expect(hasRun.withLock { $0 })
    }

    @Test("On a manual clock that nobody advances, a publish before run() reports that run() was not called")
    func beforeRunOnManualClock() async throws {
        let bus = EventBus(transport: .inMemory(InMemoryBroker(clock: ManualClock())))
        let error = await #expect(throws: EventBusError.self) {
            try await bus.publish(OrderCreated(orderID: "1"), options: .init(deadline: .milliseconds(10)))
        }
        #expect(error?.code == .timedOut)
        #expect(error?.message.contains("call run()") == true)
    }

    @Test("On a manual clock that nobody advances, a shutdown ends although a handler sleeps for an hour")
    func shutdownOnManualClock() async throws {
        let clock = ManualClock()
        var configuration = EventBusConfiguration()
        configuration.shutdownTimeout = .seconds(2)
        let bus = EventBus(transport: .inMemory(InMemoryBroker(clock: clock)), configuration: configuration)
        let isCancelled = Locked(false)
        let started = Signal()
        bus.subscribe(to: OrderCreated.self, group: "g") { _, _ in
            started.raise()
            do {
                try await clock.sleep(until: clock.now.advanced(by: .seconds(3600)))
            } catch {
                isCancelled.withLock { $0 = true }
                throw error
            }
        }
        try await bus.withRunning {
            try await bus.publish(OrderCreated(orderID: "1"))
            try await started.wait()
        }
        #expect(isCancelled.withLock { $0 })
        #expect(clock.now.offset < .seconds(3600))
    }

    @Test("A publish before run() reports that run() was not called")
    func beforeRun() async throws {
        let bus = makeBus()
        let error = await #expect(throws: EventBusError.self) {
            try await bus.publish(OrderCreated(orderID: "1"), options: .init(deadline: .milliseconds(10)))
        }
        #expect(error?.code == .timedOut)
        #expect(error?.message.contains("call run()") == true)
    }
}

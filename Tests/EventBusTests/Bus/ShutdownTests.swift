import EventBus
import EventBusTesting
import InMemoryLogging
import Logging
import ServiceLifecycle
import Testing

@testable import EventBusInMemory

@Suite("Running and shutting down", .timeLimit(.minutes(1)))
struct ShutdownTests {
    @Test("Handlers may still publish while the bus drains, and others may not")
    func publishingWhileDraining() async throws {
        let broker = InMemoryBroker()
        let bus = EventBus(transport: .inMemory(broker))
        let (began, mayGoOn) = (Signal(), Signal())
        bus.subscribe(to: OrderCreated.self, group: "orders") { order, _ in
            began.raise()
            try await mayGoOn.wait()
            try await bus.publish(OrderConfirmed(orderID: order.orderID), options: .init(requiresSubscriber: true))
        }
        let mailed = Locked(0)
        bus.subscribe(to: OrderConfirmed.self, group: "mail") { _, _ in mailed.withLock { $0 += 1 } }
        try await bus.withRunning {
            try await bus.publish(OrderCreated(orderID: "1"))
            try await began.wait()
            bus.shutdown()
            let error = await #expect(throws: EventBusError.self) { try await bus.publish(OrderCreated(orderID: "2")) }
            #expect(error?.code == .shuttingDown)
            mayGoOn.raise()
        }
        #expect(broker.queues.first { $0.name == "orders.order-created" }?.ready == 0)
        // It was handled, or waits for the next start, because the mail's own subscription drains at the same time.
        let waiting = broker.queues.first { $0.name == "mail.order-confirmed" }?.ready
        #expect(waiting == 1 - mailed.withLock { $0 })
    }

    @Test("A handler that does not end is cancelled at the deadline, and its event is redelivered")
    func deadline() async throws {
        let clock = ManualClock()
        let broker = InMemoryBroker(clock: clock)
        let bus = EventBus(transport: .inMemory(broker))
        let began = Signal()
        bus.subscribe(to: OrderCreated.self, group: "slow", options: .init(handlerTimeout: nil)) { _, _ in
            began.raise()
            try await Signal().wait()
        }
        let running = Task { try await bus.run() }
        try await bus.publish(OrderCreated(orderID: "1"), options: .init(requiresSubscriber: false))
        try await began.wait()
        bus.shutdown()
        try await clock.sleeper(dueBy: clock.now.advanced(by: .seconds(30)))
        clock.advance(by: .seconds(30))
        try await running.value
        let queue = try #require(broker.queues.first)
        #expect(queue.ready == 1 && queue.unsettled == 0)
    }

    @Test("A handler that ignores cancellation does not delay the shutdown, which reports it")
    func stubborn() async throws {
        let clock = ManualClock()
        let broker = InMemoryBroker(clock: clock)
        let bus = EventBus(transport: .inMemory(broker))
        let (began, mayEnd, ended) = (Signal(), Signal(), Signal())
        bus.subscribe(to: OrderCreated.self, group: "stubborn", options: .init(handlerTimeout: nil)) { _, _ in
            began.raise()
            // Waits in a separate task, which nothing cancels.
            try await Task { try await mayEnd.wait() }.value
            ended.raise()
        }
        let running = Task { try await bus.run() }
        try await bus.publish(OrderCreated(orderID: "1"))
        try await began.wait()
        bus.shutdown()
        try await clock.sleeper(dueBy: clock.now.advanced(by: .seconds(30)))
        clock.advance(by: .seconds(30))
        try await clock.sleeper(dueBy: clock.now.advanced(by: .seconds(1)))
        clock.advance(by: .seconds(1))
        let error = await #expect(throws: EventBusError.self) { try await running.value }
        #expect(error?.code == .shutdownTimedOut)
        #expect(error?.message.contains("stubborn.order-created (1)") == true)
        #expect(broker.queues.first?.ready == 1)
        mayEnd.raise()
        try await ended.wait()
    }

    @Test("Handlers and publishes share one deadline")
    func oneDeadline() async throws {
        let clock = ManualClock()
        let broker = InMemoryBroker(configuration: .init(maximumQueueLength: 1), clock: clock)
        let bus = EventBus(transport: .inMemory(broker))
        let began = Signal()
        bus.subscribe(to: OrderCreated.self, group: "slow", options: .init(concurrency: 1, handlerTimeout: nil)) {
            _,
            _ in
            began.raise()
            try await Signal().wait()
        }
        let running = Task { try await bus.run() }
        try await bus.publish(OrderCreated(orderID: "handled"))
        try await began.wait()
        try await bus.publish(OrderCreated(orderID: "fills the queue"))
        let blocked = Task {
            try await bus.publish(OrderCreated(orderID: "waits"), options: .init(deadline: .seconds(90)))
        }
        try await eventually("a publish waits for room") { broker.look { $0.blockedPublishes.count } == 1 }
        bus.shutdown()
        try await clock.sleeper(dueBy: clock.now.advanced(by: .seconds(30)))
        clock.advance(by: .seconds(30))
        try await running.value
        #expect(clock.now.offset == .seconds(30))
        // Its own deadline is later, and it was not sent.
        blocked.cancel()
        await #expect(throws: CancellationError.self) { try await blocked.value }
    }

    @Test("Cancelling a subscription waits for its running handler and returns the rest to another instance")
    func cancelWithDrain() async throws {
        let broker = InMemoryBroker()
        let bus = EventBus(transport: .inMemory(broker))
        let other = EventBus(transport: .inMemory(broker))
        let (began, mayEnd) = (Signal(), Signal())
        let mine = Locked<[String]>([])
        let theirs = Locked<[String]>([])
        let options = SubscriptionOptions(concurrency: 4, ordering: .byPartitionKey)
        let subscription = bus.subscribe(to: OrderCreated.self, group: "g", options: options) { order, _ in
            began.raise()
            try await mayEnd.wait()
            mine.withLock { $0.append(order.orderID) }
        }
        try await bus.withRunning {
            // All of one key: the first is handled, the others wait behind it in this process.
            for number in 1...4 {
                try await bus.publish(OrderCreated(orderID: "\(number)"), options: .init(partitionKey: "k"))
            }
            try await began.wait()
            let cancelling = Task { await subscription.cancel() }
            try await eventually("it drains") { subscription.health.reason == "draining" }
            // By key nothing is returned before the handler has ended, because another instance would start
            // concurrently.
            #expect(broker.queues.first.map { ($0.ready, $0.unsettled) } ?? (0, 0) == (0, 4))
            mayEnd.raise()
            await cancelling.value
            #expect(broker.queues.first.map { ($0.ready, $0.unsettled) } ?? (0, 0) == (3, 0))
            #expect(mine.withLock { $0 } == ["1"])
            other.subscribe(to: OrderCreated.self, group: "g", options: options) { order, context in
                #expect(context.attempt == 1)
                theirs.withLock { $0.append(order.orderID) }
            }
            try await other.withRunning { try await broker.settled() }
        }
        #expect(theirs.withLock { $0 } == ["2", "3", "4"])
    }

    @Test("A subscription that can never work keeps the bus from starting")
    func badSubscriptions() async throws {
        for (group, name) in [("bad.group", "x"), ("g", "dead"), ("g", ""), ("", "x"), ("g", "a b")] {
            let bus = EventBus(transport: .inMemory())
            let subscription = bus.subscribe(to: OrderCreated.self, group: group, name: name) { _, _ in }
            let error = await #expect(throws: EventBusError.self) { try await bus.run() }
            #expect(error?.code == .invalidName)
            let again = await #expect(throws: EventBusError.self) { try await subscription.attached() }
            #expect(again?.code == .invalidName)
        }
        let bus = EventBus(transport: .inMemory())
        bus.subscribe(to: OrderCreated.self, group: "g") { _, _ in }
        bus.subscribe(to: OrderCreated.self, group: "g") { _, _ in }
        let error = await #expect(throws: EventBusError.self) { try await bus.run() }
        #expect(error?.code == .duplicateSubscription)
        let empty = EventBus(transport: .inMemory())
        empty.subscribe(group: "g", name: "empty") { _ in }
        let nothing = await #expect(throws: EventBusError.self) { try await empty.run() }
        #expect(nothing?.code == .invalidConfiguration)
        let zero = EventBus(transport: .inMemory())
        zero.subscribe(to: OrderCreated.self, group: "g", options: .init(concurrency: 0)) { _, _ in }
        let none = await #expect(throws: EventBusError.self) { try await zero.run() }
        #expect(none?.code == .invalidConfiguration)
    }

    @Test("A subscription to several topics requires a name")
    func severalHandlersWithoutName() async throws {
        let bus = EventBus(transport: .inMemory())
        let subscription = bus.subscribe(group: "g") { handlers in
            handlers.on(OrderConfirmed.self) { _, _ in }
            handlers.on(OrderCreated.self) { _, _ in }
        }
        let error = await #expect(throws: EventBusError.self) { try await bus.run() }
        #expect(error?.code == .invalidName)
        #expect(error?.message.contains("order.confirmed,order.created") == true)
        let again = await #expect(throws: EventBusError.self) { try await subscription.attached() }
        #expect(again?.code == .invalidName)

        // Two handlers for one topic make one queue of one name.
        let single = EventBus(transport: .inMemory())
        let one = single.subscribe(group: "g") { handlers in
            handlers.on(OrderCreated.self) { _, _ in }
            handlers.on(OrderCreated.self) { _, _ in }
        }
        #expect(one.name == "order-created")
        try await single.withRunning { try await one.attached() }
    }

    @Test("The label of a subscription to several topics does not depend on their order")
    func labelOfSeveral() async throws {
        let labels = Locked<[String]>([])
        for isReversed in [false, true] {
            let bus = EventBus(transport: .inMemory())
            bus.subscribe(group: "g", name: "both") { handlers in
                let note: @Sendable (ReceivedEvent, EventContext) -> Void = { _, context in
                    labels.withLock { $0.append(context.subscription.pattern) }
                }
                for pattern: TopicPattern in isReversed ? ["order.*", "a.#"] : ["a.#", "order.*"] {
                    handlers.on(pattern) { event, context in note(event, context) }
                }
            }
            try await bus.withRunning { _ = try await bus.publish(OrderCreated(orderID: "1")) }
        }
        try await eventually("handled") { labels.withLock { $0 } == ["a.#,order.*", "a.#,order.*"] }
    }

    @Test("A subscription that fails while the bus runs is logged immediately, and the bus is live but not ready")
    func failsWhileRunning() async throws {
        let log = InMemoryLogHandler()
        let transport = ForwardingTransport(to: .inMemory()) { queue in
            if queue.group == "clash" { throw EventBusError(.topologyClash, "it has other arguments") }
        }
        let bus = EventBus(transport: transport, logger: Logger(label: "test") { _ in log })
        bus.subscribe(to: OrderCreated.self, group: "g") { _, _ in }
        try await bus.withRunning {
            bus.subscribe(to: OrderCreated.self, group: "clash") { _, _ in }
            bus.subscribe(to: OrderCreated.self, group: "g") { _, _ in }
            bus.subscribe(to: OrderCreated.self, group: "bad name") { _, _ in }
            @Sendable func failed() -> [String] {
                log.entries.filter { $0.message == "subscription failed" }
                    .map { "\($0.metadata["group"] ?? "").\($0.metadata["subscription"] ?? "")" }
            }
            try await eventually("logged") { failed().count == 3 }
            #expect(Set(failed()) == ["clash.order-created", "g.order-created", "bad name.order-created"])
            #expect(log.entries.contains { "\($0.metadata["error"] ?? "")".contains("it has other arguments") })
            let health = bus.health()
            #expect(health.isLive)
            #expect(!health.isReady)
            #expect(health.reason.contains("subscription.clash.order-created: topologyClash"))
            let receipt = try await bus.publish(OrderCreated(orderID: "1"))
            #expect(receipt.outcome == .routed)
        }
    }

    @Test("The name of a cancelled subscription may be used again")
    func nameAgain() async throws {
        let bus = EventBus(transport: .inMemory())
        let first = bus.subscribe(to: OrderCreated.self, group: "g") { _, _ in }
        try await bus.withRunning {
            await first.cancel()
            let second = bus.subscribe(to: OrderCreated.self, group: "g") { _, _ in }
            try await second.attached()
            #expect(bus.health().components.count { $0.name.hasPrefix("subscription.") } == 1)
        }
    }

    @Test("Health tells which components are ready, and the reasons of the others")
    func health() async throws {
        let bus = EventBus(transport: .inMemory())
        bus.subscribe(to: OrderCreated.self, group: "g") { _, _ in }
        #expect(!bus.health().isReady)
        #expect(bus.health().isLive)
        #expect(bus.health().reason.contains("bus: not running yet"))
        try await bus.withRunning { #expect(bus.health().isReady, "\(bus.health().reason)") }
        #expect(bus.health().reason.contains("shut down"))
    }

    @Test("A service group runs the bus and shuts it down gracefully")
    func serviceGroup() async throws {
        let broker = InMemoryBroker()
        let recorder = EventRecorder()
        var configuration = EventBusConfiguration()
        configuration.record(with: recorder)
        let bus = EventBus(transport: .inMemory(broker), configuration: configuration)
        bus.subscribe(to: OrderCreated.self, group: "g") { _, _ in }
        let group = ServiceGroup(configuration: .init(services: [.init(service: bus)], logger: .init(label: "test")))
        async let running: Void = group.run()
        try await bus.publish(OrderCreated(orderID: "1"), options: .init(deadline: .seconds(30)))
        try await eventually("attached") { bus.health().isReady }
        try await bus.publish(OrderCreated(orderID: "2"))
        _ = try await recorder.waitForHandled(OrderCreated.self)
        await group.triggerGracefulShutdown()
        try await running
        #expect(!bus.health().isReady)
    }
}

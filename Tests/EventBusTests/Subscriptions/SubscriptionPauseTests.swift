import EventBus
import EventBusInMemory
import EventBusTesting
import InMemoryLogging
import Logging
import Testing

@Suite("Pausing and resuming a subscription", .timeLimit(.minutes(1)))
struct SubscriptionPauseTests {
    private let clock = ManualClock()
    private let broker: InMemoryBroker

    init() {
        // A test advances the clock beyond any time for which a broker waits for a settlement.
        broker = InMemoryBroker(configuration: .init(consumerTimeout: nil), clock: clock)
    }

    private func makeBus(_ handler: InMemoryLogHandler = InMemoryLogHandler()) -> EventBus {
        EventBus(transport: .inMemory(broker), logger: Logger(label: "test") { _ in handler })
    }

    @Test("Log and health tell of a pause, and what was published meanwhile is handled afterwards")
    func reports() async throws {
        let log = InMemoryLogHandler()
        let bus = makeBus(log)
        let handled = Locked<[String]>([])
        let subscription = bus.subscribe(to: OrderCreated.self, group: "g", name: "orders") { order, _ in
            handled.withLock { $0.append(order.orderID) }
        }
        try await bus.withRunning {
            try await subscription.attached()
            #expect(!subscription.isPaused)
            await subscription.pause()
            await subscription.pause()
            #expect(subscription.isPaused)
            #expect(subscription.health.reason == "paused by pause()")
            #expect(bus.health().isReady)
            #expect(broker.queues.map(\.consumers) == [0])
            for number in 0..<5 { try await bus.publish(OrderCreated(orderID: "\(number)")) }
            #expect(broker.queues.map(\.ready) == [5])
            subscription.resume()
            subscription.resume()
            try await subscription.attached()
            try await broker.settled()
            #expect(handled.withLock { $0 }.sorted() == ["0", "1", "2", "3", "4"])
            #expect(subscription.health.details["paused"] == 0)
        }
        let notices = log.entries.filter { $0.level == .notice }.map { "\($0.message)" }
        #expect(notices == ["the subscription is paused by pause()", "the subscription is resumed"])
    }

    @Test("A subscription that is paused before the start declares its queue and handles nothing")
    func beforeStart() async throws {
        let bus = makeBus()
        let handled = Locked(0)
        let subscription = bus.subscribe(to: OrderCreated.self, group: "g", name: "orders") { _, _ in
            handled.withLock { $0 += 1 }
        }
        await subscription.pause()
        try await bus.withRunning {
            let receipt = try await bus.publish(OrderCreated(orderID: "1"))
            #expect(receipt.outcome == .routed)
            try await eventually("the pause") { subscription.health.reason == "paused by pause()" }
            #expect(handled.withLock { $0 } == 0)
            subscription.resume()
            try await broker.settled()
            #expect(handled.withLock { $0 } == 1)
        }
    }

    @Test("A handler that waits until its own subscription is attached again gets an error")
    func attachedInside() async throws {
        let bus = makeBus()
        let code = Locked<EventBusError.Code?>(nil)
        let own = Locked<Subscription?>(nil)
        let subscription = bus.subscribe(
            to: OrderCreated.self,
            group: "g",
            options: SubscriptionOptions(handlerTimeout: nil)
        ) { _, _ in
            guard let subscription = own.withLock({ $0 }) else { return }
            try await subscription.attached()
            try await subscription.changeConcurrency(to: 4)
            do {
                try await subscription.attached()
            } catch let error as EventBusError {
                code.withLock { $0 = error.code }
            }
        }
        own.withLock { $0 = subscription }
        try await bus.withRunning {
            try await bus.publish(OrderCreated(orderID: "1"))
            try await eventually("the handler ends", within: .seconds(10)) { code.withLock { $0 } == .reentrant }
            try await subscription.attached()
            try await broker.settled()
            #expect(try await bus.deadLetters(of: "g").count() == 0)
        }
        own.withLock { $0 = nil }
    }

    @Test("A pause waits for running handlers as long as they take, and a shutdown until its deadline")
    func running() async throws {
        let bus = makeBus()
        let (started, proceed) = (Signal(), Signal())
        let handled = Locked(0)
        let subscription = bus.subscribe(
            to: OrderCreated.self,
            group: "g",
            options: SubscriptionOptions(handlerTimeout: nil)
        ) { _, _ in
            started.raise()
            try await proceed.wait()
            handled.withLock { $0 += 1 }
        }
        try await bus.withRunning {
            try await bus.publish(OrderCreated(orderID: "1"))
            try await started.wait()
            let pause = Task { await subscription.pause() }
            try await eventually("the drain") { subscription.health.reason?.hasPrefix("waits for its running") == true }
            clock.advance(by: .seconds(3600))
            #expect(handled.withLock { $0 } == 0)
            proceed.raise()
            await pause.value
            #expect(handled.withLock { $0 } == 1)
            #expect(subscription.health.reason == "paused by pause()")
        }
    }

    @Test("A shutdown during a pause cancels the handlers that the pause waits for")
    func shutdown() async throws {
        var configuration = EventBusConfiguration()
        // The clock advances until the handler has noticed its cancellation.
        configuration.cancellationGrace = .seconds(1_000_000)
        let bus = EventBus(transport: .inMemory(broker), configuration: configuration)
        let (started, cancelled) = (Signal(), Signal())
        // The clock may pass any time limit before the shutdown reaches the handler.
        let options = SubscriptionOptions(handlerTimeout: nil)
        let subscription = bus.subscribe(to: OrderCreated.self, group: "g", options: options) { _, _ in
            started.raise()
            do {
                try await Signal().wait()
            } catch {
                cancelled.raise()
                throw error
            }
        }
        try await bus.withRunning {
            try await bus.publish(OrderCreated(orderID: "1"))
            try await started.wait()
            Task { await subscription.pause() }
            try await eventually("the drain") { subscription.health.reason?.hasPrefix("waits for its running") == true }
            Task {
                try await clock.sleeper(dueBy: clock.now.advanced(by: .seconds(60)))
                while !cancelled.isRaised {
                    clock.advance(by: .seconds(10))
                    await Task.yield()
                }
            }
        }
        #expect(cancelled.isRaised)
        #expect(broker.queues.map(\.ready) == [1])
    }

    @Test("A handler pauses its own subscription, and a resumption during the drain begins another session")
    func inside() async throws {
        let bus = makeBus()
        let (paused, proceed) = (Signal(), Signal())
        let own = Locked<Subscription?>(nil)
        let handled = Locked<[String]>([])
        let subscription = bus.subscribe(to: OrderCreated.self, group: "g", options: .init(concurrency: 1)) {
            order,
            _ in
            if order.orderID == "0" {
                await own.withLock { $0 }?.pause()
                paused.raise()
                try await proceed.wait()
            }
            handled.withLock { $0.append(order.orderID) }
        }
        own.withLock { $0 = subscription }
        try await bus.withRunning {
            for number in 0..<3 { try await bus.publish(OrderCreated(orderID: "\(number)")) }
            try await paused.wait()
            subscription.resume()
            proceed.raise()
            try await subscription.attached()
            try await broker.settled()
            #expect(handled.withLock { $0 } == ["0", "1", "2"])
        }
        own.withLock { $0 = nil }
    }

    @Test("A paused subscription can be cancelled, and whoever waits for its resumption is told")
    func cancelled() async throws {
        let bus = makeBus()
        let (started, proceed) = (Signal(), Signal())
        let subscription = bus.subscribe(to: OrderCreated.self, group: "g") { _, _ in
            started.raise()
            try await proceed.wait()
        }
        let other = bus.subscribe(to: OrderCreated.self, group: "h") { _, _ in }
        try await bus.withRunning {
            try await bus.publish(OrderCreated(orderID: "1"))
            try await started.wait()
            let pause = Task { await subscription.pause() }
            try await eventually("the drain") { subscription.health.reason?.hasPrefix("waits for its running") == true }
            subscription.resume()
            let attached = Task { try await subscription.attached() }
            let cancel = Task { await subscription.cancel() }
            await other.pause()
            await other.cancel()
            proceed.raise()
            await cancel.value
            await pause.value
            await #expect(throws: EventBusError.self) { try await attached.value }
            #expect(bus.health().components.allSatisfy { !$0.name.hasPrefix("subscription") })
        }
    }

    @Test("A by-key subscription that pauses keeps the order of its keys, and returns what waits for a retry")
    func byKey() async throws {
        let bus = makeBus()
        let handled = Locked<[String]>([])
        let fails = Locked(true)
        struct Failed: Error {}
        let subscription = bus.subscribe(
            to: "order.#",
            group: "g",
            options: .init(retry: .fixed(.seconds(60), maximumAttempts: 5), ordering: .byPartitionKey)
        ) { event, _ in
            let text = String(decoding: event.envelope.payload, as: UTF8.self)
            if text == "0", fails.withLock({ $0 }) { throw Failed() }
            handled.withLock { $0.append(text) }
        }
        try await bus.withRunning {
            for number in 0..<5 {
                try await bus.publish(
                    Envelope(topic: "order.created", payload: Array("\(number)".utf8), partitionKey: "k")
                )
            }
            try await eventually("the wait for a retry") { subscription.health.details["held"] == 1 }
            await subscription.pause()
            #expect(broker.queues.map(\.ready) == [5])
            fails.withLock { $0 = false }
            subscription.resume()
            try await broker.settled()
            #expect(handled.withLock { $0 } == ["0", "1", "2", "3", "4"])
            // The rest of the delay.
            #expect(clock.now.offset == .seconds(60))
        }
    }

    @Test("An event that waits for a retry keeps its attempts and its delay, however often the concurrency changes")
    func attempts() async throws {
        let bus = makeBus()
        struct Failed: Error {}
        let attempts = Locked<[(Int, Duration)]>([])
        let subscription = bus.subscribe(
            to: OrderCreated.self,
            group: "g",
            options: .init(retry: .fixed(.seconds(60), maximumAttempts: 3), ordering: .byPartitionKey)
        ) { [clock] _, context in
            attempts.withLock { $0.append((context.attempt, clock.now.offset)) }
            throw Failed()
        }
        try await bus.withRunning {
            try await bus.publish(OrderCreated(orderID: "1"))
            for attempt in 1...2 {
                try await eventually("attempt \(attempt)") {
                    attempts.withLock { $0.count } == attempt && subscription.health.details["held"] == 1
                }
                clock.advance(by: .seconds(20))
                try await subscription.changeConcurrency(to: attempt + 1)
                try await subscription.attached()
                try await eventually("the rest of the delay") { subscription.health.details["held"] == 1 }
                clock.advance(by: .seconds(40))
            }
            try await broker.settled()
        }
        #expect(attempts.withLock { $0.map(\.0) } == [1, 2, 3])
        #expect(attempts.withLock { $0.map(\.1) } == [.zero, .seconds(60), .seconds(120)])
        let letters = try await bus.deadLetters(of: "g").entries(limit: 2, offset: 0)
        #expect(letters.map(\.failure.reason) == [.attemptsExhausted])
    }

    @Test("Handlers and retries that may take longer than the broker waits for a settlement are refused")
    func consumerTimeout() async throws {
        let patient = InMemoryBroker(configuration: .init(consumerTimeout: .seconds(10_000)), clock: clock)
        let usual = InMemoryBroker(clock: clock)
        for (broker, isRefused) in [(usual, true), (patient, false), (self.broker, false)] {
            for (group, options) in [
                ("a", SubscriptionOptions(handlerTimeout: .seconds(1800))),
                ("b", SubscriptionOptions(ordering: .byPartitionKey, maximumHold: .seconds(1440))),
                ("c", SubscriptionOptions(broadcast: true, maximumHold: .seconds(7200))),
                ("d", SubscriptionOptions(breaker: CircuitBreaker(probeInterval: .seconds(900)))),
            ] {
                let bus = EventBus(transport: .inMemory(broker))
                let subscription = bus.subscribe(to: OrderCreated.self, group: group, options: options) { _, _ in }
                var code: EventBusError.Code?
                do {
                    try await bus.withRunning { try await subscription.attached() }
                } catch let error as EventBusError {
                    code = error.code
                }
                #expect(code == (isRefused ? .invalidConfiguration : nil))
            }
        }
        let options = SubscriptionOptions(
            handlerTimeout: .seconds(1799),
            ordering: .byPartitionKey,
            maximumHold: .seconds(1439)
        )
        let bus = EventBus(transport: .inMemory(usual))
        let subscription = bus.subscribe(to: OrderCreated.self, group: "key", options: options) { _, _ in }
        try await bus.withRunning { try await subscription.attached() }
    }

    @Test("A running handler whose delivery the broker takes back is logged as a warning", arguments: [true, false])
    func revocation(isBroadcast: Bool) async throws {
        let log = InMemoryLogHandler()
        let transport = InMemoryTransport(broker: broker)
        let bus = EventBus(transport: transport, logger: Logger(label: "test") { _ in log })
        let (started, proceed) = (Signal(), Signal())
        let options = SubscriptionOptions(handlerTimeout: nil, broadcast: isBroadcast)
        let subscription = bus.subscribe(to: OrderCreated.self, group: "g", options: options) { _, _ in
            started.raise()
            try await proceed.wait()
        }
        try await bus.withRunning {
            try await subscription.attached()
            try await bus.publish(OrderCreated(orderID: "1"))
            try await started.wait()
            transport.loseConnection()
            try await eventually("the warning") {
                log.entries.contains { $0.level == .warning && "\($0.message)".contains("lost its delivery") }
            }
            proceed.raise()
            try await broker.settled()
        }
    }

    @Test("A broadcast keeps its queue while it is paused, and the attempts and delays of its retries continue")
    func broadcast() async throws {
        let bus = makeBus()
        let attempts = Collected<String>()
        let options = SubscriptionOptions(
            concurrency: 1,
            prefetch: 2,
            retry: .fixed(.seconds(60), maximumAttempts: 3),
            broadcast: true
        )
        let subscription = bus.subscribe(to: OrderCreated.self, group: "g", options: options) { order, context in
            attempts.add("\(order.orderID): \(context.attempt)")
            if order.orderID == "fails", context.attempt < 3 { throw Broken() }
        }
        try await bus.withRunning {
            try await subscription.attached()
            try await bus.publish(OrderCreated(orderID: "fails"))
            try await eventually("it is held") { subscription.health.details["held"] == 1 }
            await subscription.pause()
            for number in 0..<4 { try await bus.publish(OrderCreated(orderID: "\(number)")) }
            #expect(broker.queues.map(\.ready) == [5])
            #expect(broker.queues.map(\.consumers) == [0])
            // Longer than events may be held.
            clock.advance(by: .seconds(4000))
            #expect(attempts.all == ["fails: 1"])
            subscription.resume()
            try await subscription.attached()
            try await subscription.changeConcurrency(to: 2)
            try await broker.settled()
            #expect(Set(attempts.all) == ["fails: 1", "fails: 2", "fails: 3", "0: 1", "1: 1", "2: 1", "3: 1"])
            #expect(attempts.all.count == 7)
            #expect(try await bus.deadLetters(of: "g").entries().isEmpty)
        }
    }

    @Test("The queue of a broadcast ends with a subscription that is cancelled while it is paused")
    func cancelledBroadcast() async throws {
        let bus = makeBus()
        let subscription = bus.subscribe(to: OrderCreated.self, group: "g", options: .init(broadcast: true)) { _, _ in }
        try await bus.withRunning {
            try await subscription.attached()
            await subscription.pause()
            #expect(broker.queues.count == 1)
            await subscription.cancel()
            #expect(broker.queues.isEmpty)
        }
    }

    @Test("A paused broadcast gets the events that are published after its connection was replaced")
    func broadcastLoss() async throws {
        let transport = InMemoryTransport(broker: broker)
        let bus = EventBus(transport: transport, logger: Logger(label: "test") { _ in InMemoryLogHandler() })
        let handled = Collected<String>()
        let options = SubscriptionOptions(broadcast: true)
        let subscription = bus.subscribe(to: OrderCreated.self, group: "g", options: options) { order, _ in
            handled.add(order.orderID)
        }
        try await bus.withRunning {
            try await subscription.attached()
            await subscription.pause()
            try await bus.publish(OrderCreated(orderID: "before"))
            transport.loseConnection()
            try await bus.publish(OrderCreated(orderID: "after"))
            subscription.resume()
            try await subscription.attached()
            try await broker.settled()
            #expect(handled.all == ["after"])
        }
    }

    @Test("The concurrency is changed before the start, while running and while paused")
    func concurrency() async throws {
        let bus = makeBus()
        let running = Locked(0)
        let most = Locked(0)
        let wanted = Locked(3)
        let full = Locked(Signal())
        let subscription = bus.subscribe(to: OrderCreated.self, group: "g", options: .init(concurrency: 1)) { _, _ in
            let count = running.withLock { running in
                running += 1
                return running
            }
            most.withLock { $0 = max($0, count) }
            let signal = full.withLock { $0 }
            if count == wanted.withLock({ $0 }) { signal.raise() }
            try await signal.wait()
            running.withLock { $0 -= 1 }
        }
        try await subscription.changeConcurrency(to: 3)
        try await bus.withRunning {
            for number in 0..<3 { try await bus.publish(OrderCreated(orderID: "\(number)")) }
            try await broker.settled()
            #expect(most.withLock { $0 } == 3)
            await subscription.pause()
            try await subscription.changeConcurrency(to: 5)
            wanted.withLock { $0 = 5 }
            full.withLock { $0 = Signal() }
            subscription.resume()
            for number in 0..<10 { try await bus.publish(OrderCreated(orderID: "\(number)")) }
            try await broker.settled()
            #expect(most.withLock { $0 } == 5)
            #expect(bus.health().isReady)
        }
    }
}

import EventBus
import EventBusInMemory
import EventBusTesting
import Testing

@Suite("Order by key", .timeLimit(.minutes(1)))
struct KeyOrderTests {
    @Test("Other keys proceed while a hundred events wait behind a failing one", arguments: [5, 100])
    func failingKey(count: Int) async throws {
        let clock = ManualClock()
        let bus = EventBus(transport: .inMemory(InMemoryBroker(clock: clock)))
        let handled = Locked<[String]>([])
        bus.subscribe(
            to: OrderCreated.self,
            group: "g",
            options: .init(
                concurrency: 4,
                retry: .fixed(.seconds(30), maximumAttempts: 3),
                handlerTimeout: nil,
                ordering: .byPartitionKey
            )
        ) { order, _ in
            if order.orderID == "a" { throw Broken() }
            handled.withLock { $0.append(order.orderID) }
        }
        try await bus.withRunning {
            for _ in 0..<count { try await bus.publish(OrderCreated(orderID: "a")) }
            for key in ["b", "c", "d", "e", "f"] { try await bus.publish(OrderCreated(orderID: key)) }
            try await eventually("the other keys are handled") { handled.withLock { $0.count } == 5 }
            #expect(clock.now.offset == .zero)
        }
    }

    @Test("Failing keys delay no others, even if they outnumber the workers")
    func manyFailingKeys() async throws {
        let clock = ManualClock()
        let bus = EventBus(transport: .inMemory(InMemoryBroker(clock: clock)))
        let handled = Locked(0)
        bus.subscribe(
            to: OrderCreated.self,
            group: "g",
            options: .init(concurrency: 2, handlerTimeout: nil, ordering: .byPartitionKey)
        ) { order, _ in
            if order.orderID != "good" { throw Broken() }
            handled.withLock { $0 += 1 }
        }
        try await bus.withRunning {
            for number in 0..<50 { try await bus.publish(OrderCreated(orderID: "\(number)")) }
            try await bus.publish(OrderCreated(orderID: "good"))
            try await eventually("the good key is handled") { handled.withLock { $0 } == 1 }
            #expect(clock.now.offset == .zero)
        }
    }

    @Test("The last attempt within the hold limit is known before it is made, and has its own reason")
    func holdLimit() async throws {
        let broker = InMemoryBroker(clock: ManualClock())
        let bus = EventBus(transport: .inMemory(broker))
        let attempts = Locked<[(Int, Bool)]>([])
        bus.subscribe(
            to: OrderCreated.self,
            group: "g",
            options: .init(retry: .fixed(.seconds(400), maximumAttempts: 10), ordering: .byPartitionKey)
        ) { _, context in
            attempts.withLock { $0.append((context.attempt, context.isLastAttempt)) }
            throw Broken()
        }
        try await bus.withRunning {
            try await bus.publish(OrderCreated(orderID: "a"))
            try await broker.settled()
            let attempts = attempts.withLock { $0 }
            #expect(attempts.map(\.0) == [1, 2, 3])
            #expect(attempts.map(\.1) == [false, false, true])
            let letter = try #require(try await bus.deadLetters(of: "g").entries(limit: 2).first)
            #expect(letter.failure.reason == .holdLimit)
            #expect(letter.attempts == 3)
        }
    }

    @Test("A policy that fits into the hold limit ends with its own reason")
    func fittingPolicy() async throws {
        let broker = InMemoryBroker(clock: ManualClock())
        let bus = EventBus(transport: .inMemory(broker))
        let last = Locked<[Bool]>([])
        bus.subscribe(
            to: OrderCreated.self,
            group: "g",
            options: .init(retry: .fixed(.seconds(30), maximumAttempts: 10), ordering: .byPartitionKey)
        ) { _, context in
            last.withLock { $0.append(context.isLastAttempt) }
            throw Broken()
        }
        try await bus.withRunning {
            try await bus.publish(OrderCreated(orderID: "a"))
            try await broker.settled()
            #expect(last.withLock { $0 } == Array(repeating: false, count: 9) + [true])
            let letter = try #require(try await bus.deadLetters(of: "g").entries(limit: 2).first)
            #expect(letter.failure.reason == .attemptsExhausted)
        }
    }

    @Test("Events that wait behind a failing one keep all their attempts, and none is held for long")
    func agesBehindAnother() async throws {
        let clock = ManualClock()
        let broker = InMemoryBroker(clock: clock)
        let ages = Ages(clock: broker.clock)
        let bus = EventBus(transport: ForwardingTransport(to: broker, watching: ages))
        let attempts = Locked<[String: [Int]]>([:])
        bus.subscribe(
            to: "#",
            group: "g",
            name: "all",
            options: .init(
                concurrency: 4,
                retry: .fixed(.seconds(400), maximumAttempts: 10),
                handlerTimeout: nil,
                ordering: .byPartitionKey
            )
        ) { event, context in
            let text = String(decoding: event.envelope.payload, as: UTF8.self)
            attempts.withLock { $0[text, default: []].append(context.attempt) }
            if text != "last" || context.attempt < 3 { throw Broken() }
        }
        try await bus.withRunning {
            for text in ["1", "2", "3", "4", "last"] {
                try await bus.publish(Envelope(topic: "a", payload: Array(text.utf8), partitionKey: "key"))
                try await bus.publish(Envelope(topic: "a", payload: Array((text + "'").utf8), partitionKey: "other"))
            }
            try await broker.settled()
            let attempts = attempts.withLock { $0 }
            #expect(attempts.count == 10)
            for (text, numbers) in attempts { #expect(numbers == [1, 2, 3], "event \(text)") }
            let letters = try await bus.deadLetters(of: "g").entries(limit: 100)
            #expect(letters.count == 9)
            #expect(letters.allSatisfy { $0.failure.reason == .holdLimit && $0.attempts == 3 })
            #expect(ages.largest <= .seconds(1300), "a delivery was in hand for \(ages.largest)")
        }
    }

    @Test("A delivery that waits too long for a free handler is returned and handled later", arguments: [false, true])
    func agesWithoutKey(broadcast: Bool) async throws {
        let clock = ManualClock()
        let broker = InMemoryBroker(clock: clock)
        let ages = Ages(clock: broker.clock)
        let bus = EventBus(transport: ForwardingTransport(to: broker, watching: ages))
        let begun = Locked(0)
        let handled = Locked(0)
        bus.subscribe(
            to: "#",
            group: "g",
            name: "all",
            options: .init(concurrency: 1, prefetch: 10, handlerTimeout: nil, broadcast: broadcast)
        ) { _, _ in
            begun.withLock { $0 += 1 }
            try await broker.clock.sleep(until: broker.clock.now.advanced(by: .seconds(600)))
            handled.withLock { $0 += 1 }
        }
        try await bus.withRunning {
            for number in 0..<10 { try await bus.publish(Envelope(topic: "a", payload: Array("\(number)".utf8))) }
            for number in 1...10 {
                try await eventually("handler \(number) begins") { begun.withLock { $0 } == number }
                try await clock.sleeper(dueBy: clock.now.advanced(by: .seconds(600)))
                clock.advance(by: .seconds(600))
            }
            try await broker.settled()
            #expect(handled.withLock { $0 } == 10)
            #expect(ages.largest <= .seconds(1800), "a delivery was in hand for \(ages.largest)")
        }
    }

    @Test(
        "A pause extends the time for retries of an event by the time for which the event was paused",
        arguments: DeferralTests.Way.all.dropFirst()
    )
    func agesAfterPause(way: DeferralTests.Way) async throws {
        let clock = ManualClock()
        let broker = InMemoryBroker(configuration: .init(consumerTimeout: nil), clock: clock)
        let ages = Ages(clock: broker.clock)
        let bus = EventBus(transport: ForwardingTransport(to: broker, watching: ages))
        let options = SubscriptionOptions(
            retry: .fixed(.seconds(400), maximumAttempts: 1000),
            ordering: way.ordering,
            broadcast: way.broadcast,
            maximumHold: .seconds(900),
            breaker: CircuitBreaker(failureShare: 1, minimumAttempts: 5, probeInterval: .seconds(30))
        )
        let attempts = Locked<[Duration]>([])
        let succeeded = Collected<Duration>()
        bus.subscribe(to: OrderCreated.self, group: "g", options: options) { order, _ in
            let time = clock.now.offset
            if order.orderID == "late" { attempts.withLock { $0.append(time) } }
            if order.orderID == "late" || time < .seconds(7200) { throw Broken() }
            succeeded.add(time)
        }
        try await bus.withRunning {
            for number in 0..<5 { try await bus.publish(OrderCreated(orderID: "\(number)")) }
            try await bus.publish(OrderCreated(orderID: "late"), options: .init(delay: .seconds(6500)))
            try await broker.settled()
            let letters = try await bus.deadLetters(of: "g").entries()
            #expect(letters.map(\.failure.reason) == [.holdLimit])
            let times = attempts.withLock { $0.filter { $0 >= .seconds(7200) } }
            let (end, last) = (try #require(succeeded.all.first), try #require(times.last))
            #expect(last >= end + .seconds(400) && last <= end + .seconds(930), "end \(end), attempts at \(times)")
            #expect(ages.largest <= .seconds(930), "a delivery was in hand for \(ages.largest)")
        }
    }

    @Test("A pause extends the time for retries by its length once, however often an event probes")
    func repeatedProbes() async throws {
        let clock = ManualClock()
        let broker = InMemoryBroker(clock: clock)
        let bus = EventBus(transport: .inMemory(broker))
        let options = SubscriptionOptions(
            retry: .fixed(.seconds(100), maximumAttempts: 1000),
            ordering: .byPartitionKey,
            maximumHold: .seconds(900),
            breaker: CircuitBreaker(failureShare: 1, minimumAttempts: 5, probeInterval: .seconds(30))
        )
        let attempts = Locked<[Duration]>([])
        let succeeded = Collected<Duration>()
        bus.subscribe(to: OrderCreated.self, group: "g", options: options) { order, _ in
            let time = clock.now.offset
            if order.orderID == "bad" { attempts.withLock { $0.append(time) } }
            if order.orderID == "bad" || time < .seconds(7200) { throw Broken() }
            succeeded.add(time)
        }
        try await bus.withRunning {
            try await bus.publish(OrderCreated(orderID: "bad"))
            for number in 0..<5 {
                try await bus.publish(OrderCreated(orderID: "\(number)"), options: .init(delay: .seconds(650)))
            }
            try await broker.settled()
            let letters = try await bus.deadLetters(of: "g").entries()
            #expect(letters.map(\.failure.reason) == [.holdLimit])
            let times = attempts.withLock { $0 }
            #expect(times.count { $0 > .seconds(650) && $0 < .seconds(7200) } > 2)
            // It had used 650 of its 900 seconds when the pause began.
            let (end, last) = (try #require(succeeded.all.first), try #require(times.last))
            #expect(last > end && last <= end + .seconds(250 + 100), "end \(end), attempts at \(times)")
        }
    }

    @Test(
        "Events that were tried do not wait for free handlers until the broker takes them back",
        arguments: [true, false]
    )
    func agesOfTriedEvents(broadcast: Bool) async throws {
        let clock = ManualClock()
        let broker = InMemoryBroker(clock: clock)
        let ages = Ages(clock: broker.clock)
        let bus = EventBus(transport: ForwardingTransport(to: broker, watching: ages))
        let begun = Locked(0)
        let ended = Locked(0)
        let attempts = Locked<[String: [Int]]>([:])
        let options = SubscriptionOptions(
            concurrency: 10,
            prefetch: 20,
            retry: .fixed(.seconds(1), maximumAttempts: 4),
            handlerTimeout: nil,
            ordering: .byPartitionKey,
            broadcast: broadcast
        )
        bus.subscribe(to: OrderCreated.self, group: "g", options: options) { order, context in
            attempts.withLock { $0[order.orderID, default: []].append(context.attempt) }
            if context.attempt > 1 {
                begun.withLock { $0 += 1 }
                defer { ended.withLock { $0 += 1 } }
                try await broker.clock.sleep(until: broker.clock.now.advanced(by: .seconds(600)))
            }
            throw Broken()
        }
        try await bus.withRunning {
            for number in 0..<20 { try await bus.publish(OrderCreated(orderID: "\(number)")) }
            try await eventually("all have been tried") { attempts.withLock { $0.count } == 20 }
            for round in 1...4 {
                try await eventually("round \(round)") {
                    if begun.withLock({ $0 }) == 10 * round { return true }
                    // Only to the next retry, and not to the end of a handler.
                    if let left = clock.nextSleeperOffset.map({ $0 - clock.now.offset }), left <= .seconds(1) {
                        clock.advance(by: left)
                    }
                    return false
                }
                clock.advance(by: .seconds(601))
                try await eventually("the end of round \(round)") { ended.withLock { $0 } == 10 * round }
            }
            try await broker.settled()
            for (order, numbers) in attempts.withLock({ $0 }) { #expect(numbers == [1, 2, 3], "event \(order)") }
            let letters = try await bus.deadLetters(of: "g").entries(limit: 100)
            #expect(letters.count == 20)
            #expect(letters.allSatisfy { $0.failure.reason == .holdLimit })
            #expect(ages.largest < .seconds(1800), "a delivery was in hand for \(ages.largest)")
        }
    }

    @Test("An invalid prefetch or hold is refused with a message that states the remedy")
    func validation() async throws {
        func error(_ options: SubscriptionOptions) async -> EventBusError? {
            let bus = EventBus(transport: .inMemory())
            let subscription = bus.subscribe(to: OrderCreated.self, group: "g", options: options) { _, _ in }
            return await #expect(throws: EventBusError.self) { try await subscription.attached() }
        }
        for options in [
            SubscriptionOptions(concurrency: 4, prefetch: 3), SubscriptionOptions(prefetch: 65_536),
            SubscriptionOptions(prefetch: 0), SubscriptionOptions(prefetch: .max), SubscriptionOptions(prefetch: .min),
        ] {
            let error = await error(options)
            #expect(error?.code == .invalidConfiguration)
            #expect(error?.message.contains("prefetch is at least the concurrency") == true, "\(error as Any)")
        }
        for concurrency in [0, -1, 65_536, .max, .min] {
            let error = await error(SubscriptionOptions(concurrency: concurrency))
            #expect(error?.message.contains("give 1 to 65535") == true, "\(error as Any)")
        }
        for hold in [Duration.zero, .seconds(-1)] {
            let error = await error(SubscriptionOptions(ordering: .byPartitionKey, maximumHold: hold))
            #expect(error?.message.contains("maximumHold") == true, "\(error as Any)")
        }
    }

    @Test("By key the broker prefetches more than is handled concurrently, and otherwise the same number")
    func prefetch() async throws {
        for (options, expected) in [
            (SubscriptionOptions(), 16), (SubscriptionOptions(concurrency: 1), 1),
            (SubscriptionOptions(concurrency: 4, ordering: .byPartitionKey), 256),
            (SubscriptionOptions(concurrency: 100, ordering: .byPartitionKey), 1600),
            (SubscriptionOptions(concurrency: 5000, ordering: .byPartitionKey), 65_535),
            (SubscriptionOptions(concurrency: 2, prefetch: 7), 7),
        ] {
            let prefetch = Locked(0)
            let transport = ForwardingTransport(to: .inMemory()) { queue in prefetch.withLock { $0 = queue.prefetch } }
            let bus = EventBus(transport: transport)
            bus.subscribe(to: OrderCreated.self, group: "g", options: options) { _, _ in }
            try await bus.withRunning {}
            #expect(prefetch.withLock { $0 } == expected)
        }
    }

    @Test("A handler that ignores cancellation can check whether its delivery was revoked")
    func revoked() async throws {
        let transport = InMemoryTransport()
        let bus = EventBus(transport: transport)
        let (began, release) = (Signal(), Signal())
        let revoked = Locked<[Bool]>([])
        bus.subscribe(to: OrderCreated.self, group: "g", options: .init(concurrency: 1)) { _, context in
            if began.isRaised { return }
            began.raise()
            await Task { try? await release.wait() }.value
            revoked.withLock { $0 = [context.isRevoked, Task.isCancelled] }
        }
        try await bus.withRunning {
            try await bus.publish(OrderCreated(orderID: "a"))
            try await began.wait()
            transport.loseConnection()
            release.raise()
            try await transport.broker.settled()
            #expect(revoked.withLock { $0.first } == true)
        }
    }

    @Test("The handler of a broadcast continues when its connection is lost, because nobody takes over")
    func broadcastRevoked() async throws {
        let transport = InMemoryTransport()
        let bus = EventBus(transport: transport)
        let (began, release, ended) = (Signal(), Signal(), Signal())
        bus.subscribe(to: OrderCreated.self, group: "g", options: .init(broadcast: true)) { _, _ in
            began.raise()
            try await release.wait()
            ended.raise()
        }
        try await bus.withRunning {
            try await bus.publish(OrderCreated(orderID: "a"))
            try await began.wait()
            transport.loseConnection()
            release.raise()
            try await ended.wait()
        }
    }
}

/// The durations for which a subscription had deliveries.
private final class Ages: Sendable {
    private let clock: AnyClock
    private let state = Locked<(arrivals: [Delivery.Token: AnyClock.Instant], largest: Duration)>(([:], .zero))

    init(clock: AnyClock) { self.clock = clock }

    var largest: Duration { state.withLock { $0.largest } }

    func arrived(_ delivery: Delivery) {
        let now = clock.now
        state.withLock { $0.arrivals[delivery.token] = now }
    }

    func left(_ token: Delivery.Token) {
        let now = clock.now
        state.withLock { state in
            guard let arrival = state.arrivals.removeValue(forKey: token) else { return }
            state.largest = max(state.largest, arrival.duration(to: now))
        }
    }

    func left(through generation: UInt64) {
        for token in state.withLock({ Array($0.arrivals.keys) }) where token.generation <= generation { left(token) }
    }
}

/// A sink that records the arrival of deliveries.
private struct AgeSink: DeliverySink {
    let sink: any DeliverySink
    let ages: Ages

    func receive(_ delivery: Delivery) {
        ages.arrived(delivery)
        sink.receive(delivery)
    }

    func revoke(through generation: UInt64) {
        ages.left(through: generation)
        sink.revoke(through: generation)
    }
}

extension ForwardingTransport {
    /// Creates a transport that records the arrival and settlement of deliveries.
    fileprivate init(to broker: InMemoryBroker, watching ages: Ages) {
        self.init(to: .inMemory(broker))
        onAttach = { base, queue, sink in
            var consumer = ForwardingConsumer(to: try await base.attach(queue, to: AgeSink(sink: sink, ages: ages)))
            consumer.onSettle = { consumer, delivery, disposition in
                ages.left(delivery.token)
                try await consumer.settle(delivery, as: disposition)
            }
            return consumer
        }
    }
}

import EventBus
import EventBusInMemory
import EventBusTesting
import Testing

/// No number in an option traps, spins or hangs: it works, is clamped, or is refused with a reason.
@Suite("Invalid numbers", .timeLimit(.minutes(1)))
struct NumberTests {
    static let durations: [Duration] = [
        .zero, .seconds(-1), .nanoseconds(-1), .nanoseconds(1), .seconds(Int64.max), .seconds(Int64.min),
        .seconds(Int64.max) * 18, .seconds(Int64.min) * 18,
    ]
    static let integers = [0, -1, 1, Int.max, Int.min]

    /// Publishes, requests and handles one event on a bus, and ignores the outcome.
    private func use(
        _ configuration: EventBusConfiguration = .init(),
        _ options: SubscriptionOptions = .init(),
        broker: InMemoryBroker = InMemoryBroker(),
        publish: PublishOptions = .init(),
        timeout: Duration = .seconds(5)
    ) async {
        let bus = EventBus(transport: .inMemory(broker), configuration: configuration)
        bus.subscribe(to: OrderCreated.self, group: "g", options: options) { _, _ in }
        bus.respond(to: GetQuote.self, group: "g") { _, _ in .init(price: 1) }
        try? await bus.withRunning {
            _ = try? await bus.publish(OrderCreated(orderID: "1"), options: publish)
            _ = try? await bus.publish(contentsOf: [OrderCreated(orderID: "2")], options: publish)
            _ = try? await bus.request(GetQuote(sku: "a"), timeout: timeout)
        }
    }

    @Test("The durations of a bus", arguments: durations)
    func busDurations(value: Duration) async {
        for path: WritableKeyPath<EventBusConfiguration, Duration> in [
            \.publishTimeout, \.shutdownTimeout, \.cancellationGrace,
        ] {
            var configuration = EventBusConfiguration()
            configuration[keyPath: path] = value
            await use(configuration)
        }
        await use(timeout: value)
        await use(publish: .init(deadline: value))
        await use(publish: .init(delay: value))
    }

    @Test("The numbers of a subscription", arguments: integers)
    func subscriptionNumbers(value: Int) async {
        await use(.init(), SubscriptionOptions(concurrency: value))
        await use(.init(), SubscriptionOptions(concurrency: value, ordering: .byPartitionKey))
        await use(.init(), SubscriptionOptions(concurrency: value, broadcast: true))
        await use(.init(), SubscriptionOptions(concurrency: 1, prefetch: value))
    }

    @Test("The times of a subscription and its inbox", arguments: durations)
    func subscriptionTimes(value: Duration) async {
        for ordering in [SubscriptionOptions.Ordering.none, .byPartitionKey] {
            await use(.init(), SubscriptionOptions(ordering: ordering, maximumDeferral: value, maximumHold: value))
            let policy = RetryPolicy(maximumAttempts: .max, initial: value, multiplier: .infinity, maximum: value)
            await use(.init(), SubscriptionOptions(retry: policy, ordering: ordering))
        }
        for path: WritableKeyPath<InboxOptions, Duration> in [\.lease, \.retention, \.recheckInterval] {
            var options = InboxOptions()
            options[keyPath: path] = value
            await use(.init(), SubscriptionOptions(inbox: InMemoryInbox(), inboxOptions: options))
            // Middleware cannot report an invalid value, and clamps it.
            let step = DeduplicationMiddleware(inbox: InMemoryInbox(), options: options)
            let broker = InMemoryBroker()
            let bus = EventBus(transport: .inMemory(broker))
            let handled = Counter()
            let subscription = SubscriptionOptions(middleware: [step])
            bus.subscribe(to: OrderCreated.self, group: "g", options: subscription) { _, _ in handled.add() }
            try? await bus.withRunning {
                _ = try? await bus.publish(OrderCreated(orderID: "1"))
                try? await broker.settled(within: .seconds(20))
            }
            #expect(handled.value == 1)
        }
    }

    @Test("The time limit of a handler", arguments: durations)
    func handlerTimeout(value: Duration) async throws {
        await use(.init(), SubscriptionOptions(handlerTimeout: value))
        if value > .zero {
            await use(.init(), SubscriptionOptions(middleware: [try TimeoutMiddleware(value)]))
        } else {
            let error = #expect(throws: EventBusError.self) { try TimeoutMiddleware(value) }
            #expect(error?.code == .invalidConfiguration)
        }
    }

    @Test("The limits of an in-memory broker", arguments: integers)
    func brokerLimits(value: Int) async {
        await use(broker: InMemoryBroker(configuration: .init(maximumQueueLength: value)))
        await use(broker: InMemoryBroker(configuration: .init(deliveryLimit: value)))
        await use(broker: InMemoryBroker(configuration: .init(maximumBodySize: value)))
        let cache = InMemoryBroker().makeCache(capacity: value)
        for number in 0..<100 { try? await cache.set(number, for: "\(number)") }
    }

    @Test("The consumer timeout of an in-memory broker, and the limits of settled()", arguments: durations)
    func brokerTimes(value: Duration) async {
        let timeout = InMemoryBroker.Configuration(consumerTimeout: value)
        await use(broker: InMemoryBroker(configuration: timeout))
        let broker = InMemoryBroker(configuration: timeout, clock: ManualClock())
        await use(broker: broker)
        try? await broker.settled(within: value, handlerPatience: value)
    }

    @Test("The rates of a fault plan", arguments: [Double.nan, .infinity, -.infinity, -1, 1e300])
    func faultRates(value: Double) async throws {
        for kind in FaultPlan.Kind.allCases {
            let broker = InMemoryBroker(clock: ManualClock(), faults: .only(kind, rate: value, seed: 1))
            let bus = EventBus(transport: .inMemory(broker))
            bus.subscribe(to: OrderCreated.self, group: "g") { _, _ in }
            try await bus.withRunning {
                for number in 0..<5 { _ = try? await bus.publish(OrderCreated(orderID: "\(number)")) }
                try await broker.settled()
            }
            if !(value > 0) { #expect(broker.faultLog?.faults.isEmpty == true) }
        }
    }

    @Test("The pages of dead letters", arguments: integers)
    func pages(value: Int) async throws {
        let letters = EventBus(transport: .inMemory()).deadLetters(of: "g")
        #expect(try await letters.entries(limit: value, offset: value).isEmpty)
    }

    @Test("The capacity of a mailbox", arguments: integers)
    func capacity(value: Int) async {
        let emitter = LocalEmitter { _ in }
        let heard = Counter()
        emitter.on(OrderPlaced.self, capacity: value) { _ async in heard.add() }
        emitter.on("#", capacity: value) { _ async in heard.add() }
        emitter.emit(OrderPlaced(number: 1))
        await emitter.idle()
        #expect(heard.value == 2)
    }

    @Test("The rate of a replay", arguments: integers)
    func replayRate(value: Int) async throws {
        let bus = EventBus(transport: .inMemory())
        bus.subscribe(to: OrderCreated.self, group: "g", options: .init(retry: .never)) { _, _ in throw Broken() }
        try await bus.withRunning {
            try await bus.publish(OrderCreated(orderID: "1"))
            let letters = bus.deadLetters(of: "g")
            try await eventually("dead") { try await letters.count() == 1 }
            if value > 0 {
                #expect(try await letters.replayAll(options: .init(maximumPerSecond: value)) == 1)
            } else {
                let error = await #expect(throws: EventBusError.self) {
                    _ = try await letters.replayAll(options: .init(maximumPerSecond: value))
                }
                #expect(error?.code == .invalidConfiguration)
            }
        }
    }

    @Test("The time to live of a cached value, and the related numbers", arguments: durations)
    func cache(value: Duration) async throws {
        let cache = InMemoryCache()
        for path: WritableKeyPath<CacheOptions, Duration> in [
            \.ttl, \.staleWhileRevalidate, \.staleOnError, \.computeTimeout,
        ] {
            for number in [Double.nan, .infinity, -.infinity, -1, 0, 1, 1e300] {
                var options = CacheOptions(jitter: number, earlyRefresh: number, negativeTTL: value)
                options[keyPath: path] = value
                for _ in 0..<2 { _ = try? await cache.value(for: "k", options: options) { 1 } }
            }
        }
    }

    @Test("The times of a lock", arguments: durations)
    func lock(value: Duration) async {
        let lock = InMemoryLock()
        try? await lock.withLock("a", ttl: value, wait: .zero) { _ in }
        try? await lock.withLock("b", ttl: .seconds(1), wait: value) { _ in }
        _ = try? await lock.tryLock("c", ttl: value)
        try? await lock.withLocks(["d", "e"], ttl: value, wait: value) { _ in }
    }

    @Test("Instants of a clock", arguments: durations)
    func instants(value: Duration) async {
        let start = AnyClock.continuous.now
        let later = start.advanced(by: value).advanced(by: value)
        #expect((later < start) == (value < .zero))
        let clock = ManualClock()
        if value > .zero {
            clock.advance(by: value)
            clock.advance(by: value)
            #expect(clock.now.offset > .zero)
        }
    }
}

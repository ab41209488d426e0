import EventBus
import EventBusInMemory
import EventBusTesting
import Testing

@Suite("Short forms", .timeLimit(.minutes(1)))
struct ShortFormTests {
    private let clock = ManualClock()
    private let broker: InMemoryBroker
    private let bus: EventBus

    init() {
        broker = InMemoryBroker(clock: clock)
        bus = EventBus(transport: .inMemory(broker))
    }

    @Test("Retry, concurrency and order are given directly, and take precedence over the options")
    func options() async throws {
        let attempts = Locked<[String: Int]>([:])
        let inner = SubscriptionOptions(concurrency: 7, retry: .fixed(.seconds(1), maximumAttempts: 9))
        bus.subscribe(to: OrderCreated.self, group: "a", retry: .never, options: inner) { _ in
            attempts.withLock { $0["a", default: 0] += 1 }
            throw Broken()
        }
        bus.subscribe(
            to: "order.*",
            group: "b",
            retry: .fixed(.seconds(1), maximumAttempts: 2),
            ordering: .byPartitionKey
        ) {
            event in
            attempts.withLock { $0["b", default: 0] += 1 }
            #expect(event.topic == OrderCreated.topic)
            throw Broken()
        }
        bus.subscribe(group: "c", name: "orders", concurrency: 1, options: inner) { handlers in
            handlers.on(OrderCreated.self) { order in
                attempts.withLock { $0["c", default: 0] += 1 }
                #expect(order.orderID == "1")
            }
            handlers.on("order.#") { event in Issue.record("\(event.topic) has a handler by type") }
        }
        let invalid = bus.subscribe(to: OrderCreated.self, group: "d", concurrency: 0) { _ in }
        await #expect(throws: EventBusError.self) { try await invalid.attached() }
        await invalid.cancel()
        try await bus.withRunning {
            try await bus.publish(OrderCreated(orderID: "1"))
            try await broker.settled()
            #expect(attempts.withLock { $0 } == ["a": 1, "b": 2, "c": 1])
            #expect(broker.queues.filter { $0.name.hasPrefix("b") }.count == 1)
        }
    }

    @Test("A delay is given directly")
    func delay() async throws {
        let time = Locked<Duration?>(nil)
        let clock = clock
        bus.subscribe(to: OrderCreated.self, group: "a") { _ in time.withLock { $0 = clock.now.offset } }
        try await bus.withRunning {
            let receipt = try await bus.publish(OrderCreated(orderID: "1"), delay: .seconds(60))
            #expect(receipt.outcome == .scheduled)
            try await broker.settled()
            #expect(time.withLock { $0 } == .seconds(60))
        }
    }

    @Test("All dead letters are read, decoded and replayed")
    func deadLetters() async throws {
        bus.subscribe(to: OrderCreated.self, group: "a", retry: .never) { _ in throw Broken() }
        try await bus.withRunning {
            for number in 1...3 { try await bus.publish(OrderCreated(orderID: "\(number)")) }
            try await broker.settled()
            let letters = bus.deadLetters(of: "a")
            let orders = try await letters.entries().map { try $0.decoded(as: OrderCreated.self).orderID }
            #expect(orders.sorted() == ["1", "2", "3"])
            let letter = try #require(try await letters.entries().first)
            #expect(throws: EventBusError.self) { try letter.decoded(as: [Int].self) }
            try await letters.replay(letter.envelope.id)
            try await letters.replayAll()
            try await broker.settled()
            #expect(try await letters.count() == 3)
        }
    }
}

import EventBus
import EventBusInMemory
import EventBusTesting
import Testing

@Suite("Handling", .timeLimit(.minutes(1)))
struct HandlingTests {
    @Test("A 30-second backoff costs no real time on a manual clock")
    func backoff() async throws {
        let broker = InMemoryBroker(clock: ManualClock())
        let bus = EventBus(transport: .inMemory(broker))
        let attempts = Locked<[Int]>([])
        bus.subscribe(
            to: OrderCreated.self,
            group: "g",
            options: .init(retry: .fixed(.seconds(30), maximumAttempts: 4))
        ) { _, context in
            attempts.withLock { $0.append(context.attempt) }
            if context.attempt < 4 { throw Broken() }
        }
        try await bus.withRunning {
            let begin = bus.clock.now
            try await bus.publish(OrderCreated(orderID: "1"))
            try await broker.settled()
            #expect(attempts.withLock { $0 } == [1, 2, 3, 4])
            #expect(begin.duration(to: bus.clock.now) == .seconds(90))
        }
    }

    @Test(
        "A handler past its limit is cancelled, retried, and at last a dead letter that says so",
        arguments: [true, false]
    )
    func timeout(byKey: Bool) async throws {
        let clock = ManualClock()
        let broker = InMemoryBroker(clock: clock)
        let bus = EventBus(transport: .inMemory(broker))
        let attempts = Locked<[Int]>([])
        bus.subscribe(
            to: OrderCreated.self,
            group: "g",
            options: .init(
                concurrency: 2,
                retry: .fixed(.seconds(1), maximumAttempts: 3),
                handlerTimeout: .seconds(10),
                ordering: byKey ? .byPartitionKey : .none
            )
        ) { _, context in
            attempts.withLock { $0.append(context.attempt) }
            try await Signal().wait()
        }
        try await bus.withRunning {
            try await bus.publish(OrderCreated(orderID: "1"))
            for attempt in 1...3 {
                try await eventually("attempt \(attempt)") {
                    if attempts.withLock({ $0.count }) >= attempt { return true }
                    clock.advance(by: .milliseconds(100))
                    return false
                }
                try await eventually("the limit of attempt \(attempt)") {
                    let letters = try await bus.deadLetters(of: "g").count()
                    if attempts.withLock({ $0.count }) > attempt || letters == 1 { return true }
                    clock.advance(by: .milliseconds(100))
                    return false
                }
            }
            #expect(attempts.withLock { $0 } == [1, 2, 3])
            let letter = try #require(try await bus.deadLetters(of: "g").entries(limit: 1).first)
            #expect(letter.failure.reason == .attemptsExhausted)
            #expect(letter.attempts == 3)
            #expect(letter.failure.message.contains("10.0 seconds"), "\(letter.failure.message)")
        }
    }

    @Test("A handler that returns in spite of its time limit has handled the event")
    func lateSuccess() async throws {
        let clock = ManualClock()
        let broker = InMemoryBroker(clock: clock)
        let bus = EventBus(transport: .inMemory(broker))
        let (began, wasCancelled) = (Signal(), Signal())
        bus.subscribe(to: OrderCreated.self, group: "g", options: .init(concurrency: 1, handlerTimeout: .seconds(1))) {
            order,
            _ in
            guard order.orderID == "slow" else { return }
            began.raise()
            try? await Signal().wait()
            wasCancelled.raise()
        }
        try await bus.withRunning {
            try await bus.publish(OrderCreated(orderID: "slow"))
            try await bus.publish(OrderCreated(orderID: "next"))
            try await began.wait()
            try await eventually("the limit") {
                clock.advance(by: .milliseconds(100))
                return wasCancelled.isRaised
            }
            try await broker.settled()
            #expect(try await bus.deadLetters(of: "g").count() == 0)
        }
    }

    @Test("Events of several types in one subscription keep their order, and each reaches its handler")
    func severalTypes() async throws {
        let broker = InMemoryBroker()
        let bus = EventBus(transport: .inMemory(broker))
        let seen = Locked<[String]>([])
        bus.subscribe(group: "g", name: "orders", options: .init(concurrency: 1)) { handlers in
            handlers.on(OrderCreated.self) { event, _ in seen.withLock { $0.append("created \(event.orderID)") } }
            handlers.on(OrderConfirmed.self) { event, _ in seen.withLock { $0.append("confirmed \(event.orderID)") } }
            handlers.on("order.#") { event, _ in seen.withLock { $0.append("other \(event.topic)") } }
        }
        try await bus.withRunning {
            try await bus.publish(OrderCreated(orderID: "1"))
            try await bus.publish(OrderConfirmed(orderID: "1"))
            try await bus.publish(Envelope(topic: "order.cancelled", payload: []))
            try await broker.settled()
            #expect(seen.withLock { $0 } == ["created 1", "confirmed 1", "other order.cancelled"])
        }
    }

    @Test("An event of a newer version is left for a newer instance and never handled by an old one")
    func newerVersion() async throws {
        let broker = InMemoryBroker(clock: ManualClock())
        let bus = EventBus(transport: .inMemory(broker))
        let handled = Locked(0)
        bus.subscribe(to: OrderCreated.self, group: "g") { _, _ in handled.withLock { $0 += 1 } }
        try await bus.withRunning {
            try await bus.publish(
                Envelope(topic: "order.created", payload: Array(#"{"orderID":"1"}"#.utf8), version: 2)
            )
            try await broker.settled()
            #expect(handled.withLock { $0 } == 0)
            let letter = try #require(try await bus.deadLetters(of: "g").entries(limit: 1).first)
            #expect(letter.failure.reason == .newerVersion)
            #expect(bus.clock.now.offset >= .seconds(3600), "that is shorter than a rolling deployment")
            #expect(bus.clock.now.offset < .seconds(3700))
            #expect(letter.failure.message.contains("version 2"))
        }
    }

    @Test("An event through the binding of an earlier release is parked with the reason")
    func staleBinding() async throws {
        let broker = InMemoryBroker()
        let old = EventBus(transport: .inMemory(broker))
        old.subscribe(to: "order.#", group: "g", name: "orders") { _, _ in }
        try await old.withRunning {}
        let new = EventBus(transport: .inMemory(broker))
        new.subscribe(to: OrderCreated.self, group: "g", name: "orders") { _, _ in }
        try await new.withRunning {
            try await new.publish(OrderConfirmed(orderID: "1"))
            try await broker.settled()
            let letter = try #require(try await new.deadLetters(of: "g").entries(limit: 1).first)
            #expect(letter.failure.reason == .staleBinding)
        }
        let mended = EventBus(transport: .inMemory(broker))
        mended.subscribe(to: OrderCreated.self, group: "g", name: "orders", options: .init(formerPatterns: ["order.#"]))
        {
            _,
            _ in
        }
        try await mended.withRunning {
            let receipt = try await mended.publish(OrderConfirmed(orderID: "2"))
            #expect(receipt.outcome == .unroutable)
        }
    }

    @Test("An inbox suppresses a duplicate, and a failure releases the event for the next attempt")
    func inbox() async throws {
        let clock = ManualClock()
        let broker = InMemoryBroker(clock: clock)
        let bus = EventBus(transport: .inMemory(broker))
        let calls = Locked<[String]>([])
        bus.subscribe(to: OrderCreated.self, group: "g", options: .init(inbox: InMemoryInbox(clock: clock))) {
            order,
            context in
            calls.withLock { $0.append("\(order.orderID) \(context.attempt)") }
            if context.attempt == 1 { throw Broken() }
        }
        try await bus.withRunning {
            for _ in 0..<3 { try await bus.publish(OrderCreated(orderID: "1"), options: .init(id: "same")) }
            try await broker.settled()
            #expect(calls.withLock { $0.filter { $0 == "1 2" } }.count == 1)
            #expect(try await bus.deadLetters(of: "g").count() == 0)
        }
    }

    @Test("Handlers run concurrently with publishing tasks, with the event's correlation, and pass it on")
    func correlation() async throws {
        let broker = InMemoryBroker()
        let recorder = EventRecorder()
        var configuration = EventBusConfiguration()
        configuration.source = "orders"
        configuration.record(with: recorder)
        let bus = EventBus(transport: .inMemory(broker), configuration: configuration)
        bus.subscribe(to: OrderCreated.self, group: "g") { order, _ in
            async let inChild = bus.publish(OrderConfirmed(orderID: order.orderID))
            _ = try await inChild
        }
        bus.subscribe(to: OrderConfirmed.self, group: "g") { _, _ in }
        try await bus.withRunning {
            let traceparent: HeaderValue = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
            let receipt = try await bus.publish(
                OrderCreated(orderID: "1"),
                options: .init(headers: ["traceparent": traceparent], correlationID: "c-1")
            )
            try await broker.settled()
            let confirmed = try #require(recorder.published.first { $0.envelope.topic == "order.confirmed" }?.envelope)
            #expect(confirmed.correlationID == "c-1")
            #expect(confirmed.causationID == receipt.id)
            #expect(confirmed.source == "orders")
            #expect(confirmed.headers["traceparent"] == traceparent)
            // Outside a handler an event starts its own chain.
            let own = try await bus.publish(OrderCreated(orderID: "2"))
            try await broker.settled()
            let second = try #require(recorder.published.first { $0.envelope.id == own.id }?.envelope)
            #expect(second.correlationID == CorrelationID(own.id))
            #expect(second.causationID == nil)
        }
    }

    @Test("An event without a chain starts its own")
    func foreign() async throws {
        let broker = InMemoryBroker()
        let bus = EventBus(transport: .inMemory(broker))
        let seen = Locked<[(EventID, CorrelationID)]>([])
        bus.subscribe(to: "#", group: "g", name: "all") { _, context in
            seen.withLock { $0.append((context.id, context.correlationID)) }
        }
        try await bus.withRunning {
            try await bus.publish(Envelope(id: "theirs", topic: "a", payload: []))
            try await broker.settled()
            #expect(seen.withLock { $0.first?.0 } == "theirs")
            #expect(seen.withLock { $0.first?.1 } == "theirs")
        }
    }
}

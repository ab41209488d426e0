import EventBus
import EventBusInMemory
import EventBusTesting
import Testing

@Suite("Retries in the process", .timeLimit(.minutes(1)))
struct RetryInProcessTests {
    @Test("An injected crash strikes one attempt, even if retries are made in the process")
    func injectedCrash() async throws {
        let broker = InMemoryBroker(clock: ManualClock(), faults: .only(.handlerCrash, rate: 1, seed: 1))
        let bus = EventBus(transport: .inMemory(broker))
        let handled = Locked<[String]>([])
        bus.subscribe(to: OrderCreated.self, group: "g", options: .init(ordering: .byPartitionKey)) { order, _ in
            handled.withLock { $0.append(order.orderID) }
        }
        try await bus.withRunning {
            for number in 0..<10 { try await bus.publish(OrderCreated(orderID: "\(number)")) }
            try await broker.settled()
            #expect(Set(handled.withLock { $0 }).count == 10)
            #expect(try await bus.deadLetters(of: "g").count() == 0)
        }
    }

    @Test(
        "Time moves on a manual clock while events of a key wait behind one that is retried",
        arguments: [false, true]
    )
    func settledByKey(broadcast: Bool) async throws {
        let broker = InMemoryBroker(clock: ManualClock())
        let bus = EventBus(transport: .inMemory(broker))
        let seen = Locked<[String]>([])
        bus.subscribe(
            to: OrderCreated.self,
            group: "g",
            options: .init(
                retry: .fixed(.seconds(1), maximumAttempts: 3),
                ordering: .byPartitionKey,
                broadcast: broadcast
            )
        ) { order, context in
            seen.withLock { $0.append("\(order.orderID)\(context.attempt)") }
            if context.attempt == 1 { throw Broken() }
        }
        try await bus.withRunning {
            for _ in 0..<3 { try await bus.publish(OrderCreated(orderID: "a")) }
            try await broker.settled(within: .seconds(5))
            #expect(seen.withLock { $0 } == ["a1", "a2", "a1", "a2", "a1", "a2"])
        }
    }

    @Test("A lost connection ends the wait of its deliveries for their retries")
    func revokedWhileHeld() async throws {
        let clock = ManualClock()
        let transport = InMemoryTransport(broker: InMemoryBroker(clock: clock))
        let bus = EventBus(transport: transport)
        let attempts = Locked<[Int]>([])
        bus.subscribe(
            to: OrderCreated.self,
            group: "g",
            options: .init(
                retry: .fixed(.seconds(60), maximumAttempts: 3),
                handlerTimeout: nil,
                ordering: .byPartitionKey
            )
        ) { _, context in
            attempts.withLock { $0.append(context.attempt) }
            if attempts.withLock({ $0.count }) == 1 { throw Broken() }
        }
        try await bus.withRunning {
            try await bus.publish(OrderCreated(orderID: "a"))
            try await clock.sleeper(dueBy: clock.now.advanced(by: .seconds(60)))
            transport.loseConnection()
            try await transport.broker.settled(within: .seconds(5))
            #expect(attempts.withLock { $0 } == [1, 1])
            #expect(clock.now.offset == .zero)
        }
    }
}

import EventBus
import EventBusInMemory
import EventBusTesting
import Testing

@Suite("Starting and stopping in difficult conditions", .timeLimit(.minutes(1)))
struct StartAndEndTests {
    /// Returns whether `operation` ends within `limit`, with any result.
    private func ends(
        within limit: Duration = .seconds(3),
        _ operation: @escaping @Sendable () async throws -> Void
    ) async throws -> Bool {
        let clock = AnyClock.continuous
        return try await withDeadline(clock.now.advanced(by: limit), clock: clock) {
            try? await operation()
            try Task.checkCancellation()
            return true
        } ?? false
    }

    @Test("A shutdown before the start ends the subscriptions, so that nobody waits for them")
    func shutdownBeforeStart() async throws {
        let bus = EventBus(transport: .inMemory())
        let subscription = bus.subscribe(to: OrderCreated.self, group: "g") { _, _ in }
        bus.shutdown()
        let error = await #expect(throws: EventBusError.self) {
            guard try await ends({ try await subscription.attached() }) else { return }
            try await subscription.attached()
        }
        #expect(error?.code == .shuttingDown)
    }

    @Test("A bus that cannot start because of one subscription ends the others and refuses publishes")
    func failedStart() async throws {
        let bus = EventBus(transport: .inMemory())
        let good = bus.subscribe(to: OrderCreated.self, group: "g") { _, _ in }
        bus.subscribe(to: OrderCreated.self, group: "g", name: "dead") { _, _ in }
        let early = Task { try await bus.publish(OrderCreated(orderID: "1"), options: .init(deadline: .seconds(5))) }
        let error = await #expect(throws: EventBusError.self) { try await bus.run() }
        #expect(error?.code == .invalidName)
        #expect(try await ends { try await good.attached() })
        let refused = await #expect(throws: EventBusError.self) { try await early.value }
        #expect(refused?.code == .shuttingDown)
    }

    @Test("A bus that cannot start does not run the body and throws the reason", .timeLimit(.minutes(1)))
    func bodyOfFailedStart() async throws {
        for round in 0..<200 {
            let broker = InMemoryBroker()
            let holder = EventBus(transport: .inMemory(broker))
            holder.subscribe(to: OrderCreated.self, group: "g", options: .init(ordering: .byPartitionKey)) { _, _ in }
            let bus = EventBus(transport: .inMemory(broker))
            // Invalid from the start in one round, and invalid only for the broker in the next.
            bus.subscribe(to: OrderCreated.self, group: "g", name: round % 2 == 0 ? "dead" : nil) { _, _ in }
            let hasRun = Locked(false)
            try await holder.withRunning {
                let error = await #expect(throws: EventBusError.self) {
                    try await bus.withRunning {
                        hasRun.withLock { $0 = true }
                        try await bus.publish(OrderCreated(orderID: "1"))
                    }
                }
                #expect(error?.code == (round % 2 == 0 ? .invalidName : .topologyClash))
            }
            #expect(!hasRun.withLock { $0 })
        }
    }

    @Test("A second run() does not affect the first one's bus")
    func secondRun() async throws {
        for _ in 0..<20 {
            let bus = EventBus(transport: .inMemory())
            let outcomes = await withTaskGroup(of: Bool.self) { group in
                for _ in 0..<8 {
                    group.addTask { (try? await bus.run()) != nil }
                }
                group.addTask {
                    defer { bus.shutdown() }
                    let handled = Signal()
                    guard (try? await bus.publish(OrderConfirmed(orderID: "0"))) != nil else { return false }
                    let subscription = bus.subscribe(to: OrderCreated.self, group: "g") { _, _ in handled.raise() }
                    guard (try? await ends(within: .seconds(2), { try await subscription.attached() })) == true,
                        (try? await bus.publish(OrderCreated(orderID: "1"))) != nil
                    else { return false }
                    return (try? await ends(within: .seconds(2), { try await handled.wait() })) == true
                }
                return await group.reduce(into: []) { $0.append($1) }
            }
            // The running one, and the one that used it.
            #expect(outcomes.count { $0 } == 2)
        }
    }

    @Test("A subscription that its own handler cancels ends when the handler does")
    func cancelledByItself() async throws {
        let broker = InMemoryBroker()
        let bus = EventBus(transport: .inMemory(broker))
        let handle = Locked<EventBus.Subscription?>(nil)
        let cancelled = Signal()
        let wasCancelled = Locked(false)
        let subscription = bus.subscribe(to: OrderCreated.self, group: "g") { _, _ in
            await handle.withLock { $0 }?.cancel()
            wasCancelled.withLock { $0 = Task.isCancelled }
            cancelled.raise()
        }
        handle.withLock { $0 = subscription }
        try await bus.withRunning {
            try await bus.publish(OrderCreated(orderID: "1"))
            #expect(try await ends { try await cancelled.wait() })
            #expect(!wasCancelled.withLock { $0 })
            try await eventually("nothing is left of it") {
                !bus.health().components.contains { $0.name == "subscription.g.order-created" }
            }
            let again = bus.subscribe(to: OrderCreated.self, group: "g") { _, _ in }
            try await again.attached()
        }
        #expect(broker.queues.first?.ready == 0)
    }

    @Test("A bus that has ended releases its handlers and thereby itself")
    func letsGo() async throws {
        weak var weakBus: EventBus?
        do {
            let bus = EventBus(transport: .inMemory())
            weakBus = bus
            bus.subscribe(to: OrderCreated.self, group: "g") { order, _ in
                try await bus.publish(OrderConfirmed(orderID: order.orderID))
            }
            try await bus.withRunning { _ = try await bus.publish(OrderCreated(orderID: "1")) }
        }
        try await eventually("the bus is gone") { weakBus == nil }
    }
}

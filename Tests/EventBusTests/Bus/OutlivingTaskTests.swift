import EventBus
import EventBusInMemory
import EventBusTesting
import Testing

/// A task that a handler starts and that outlives it.
@Suite("Tasks that outlive their handler", .timeLimit(.minutes(1)))
struct OutlivingTaskTests {
    @Test("They publish under the handler's chain while the bus runs, and are refused while it drains")
    func refused() async throws {
        let bus = EventBus(transport: .inMemory())
        let (left, holding, mayPublish, mayEnd) = (Signal(), Signal(), Signal(), Signal())
        let chain = Locked<CorrelationID?>(nil)
        let task = Locked<Task<PublishReceipt, any Error>?>(nil)
        bus.subscribe(to: OrderCreated.self, group: "g", options: .init(concurrency: 1)) { order, _ in
            if order.orderID == "1" {
                let outliving = Task {
                    try await bus.publish(OrderConfirmed(orderID: "while running"))
                    left.raise()
                    try await mayPublish.wait()
                    return try await bus.publish(OrderConfirmed(orderID: "while draining"))
                }
                task.withLock { $0 = outliving }
            } else {
                // Keeps the bus draining: another attempt of the same worker.
                holding.raise()
                try await mayEnd.wait()
                try await bus.publish(OrderConfirmed(orderID: "of a handler"))
            }
        }
        bus.subscribe(to: OrderConfirmed.self, group: "h") { _, context in
            chain.withLock { $0 = $0 ?? context.correlationID }
        }
        try await bus.withRunning {
            try await bus.publish(OrderCreated(orderID: "1"), options: .init(correlationID: "chain"))
            try await left.wait()
            try await bus.publish(OrderCreated(orderID: "2"))
            try await holding.wait()
            try await eventually("handled") { chain.withLock { $0 } == "chain" }
            bus.shutdown()
            mayPublish.raise()
            let error = await #expect(throws: EventBusError.self) { try await task.withLock { $0 }?.value }
            #expect(error?.code == .shuttingDown)
            mayEnd.raise()
        }
    }

    @Test("A task that cancels the subscription waits for its end, unlike the handler itself")
    func cancels() async throws {
        let bus = EventBus(transport: .inMemory())
        let handle = Notes<EventBus.Subscription>()
        let (returned, holding, mayEnd) = (Signal(), Signal(), Signal())
        let cancelling = Locked<Task<Void, any Error>?>(nil)
        let isCancelled = Flag()
        let options = SubscriptionOptions(concurrency: 1)
        let subscription = bus.subscribe(to: OrderCreated.self, group: "g", options: options) { order, _ in
            if order.orderID == "1" {
                let task = Task {
                    try await returned.wait()
                    await handle.values.first?.cancel()
                    isCancelled.set()
                }
                cancelling.withLock { $0 = task }
            } else {
                holding.raise()
                try await mayEnd.wait()
            }
        }
        handle.add(subscription)
        try await bus.withRunning {
            try await bus.publish(OrderCreated(orderID: "1"))
            try await bus.publish(OrderCreated(orderID: "2"))
            try await holding.wait()
            returned.raise()
            try await eventually("it drains") { subscription.health.reason == "draining" }
            #expect(!isCancelled.isSet)
            mayEnd.raise()
            try await cancelling.withLock { $0 }?.value
            #expect(isCancelled.isSet)
        }
    }
}

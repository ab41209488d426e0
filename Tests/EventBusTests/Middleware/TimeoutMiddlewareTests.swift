import EventBus
import EventBusInMemory
import EventBusTesting
import Testing

@Suite("Timeout", .timeLimit(.minutes(1)))
struct TimeoutMiddlewareTests {
    @Test("A time limit shorter than that of the subscription applies, and the event is retried")
    func strikes() async throws {
        let clock = ManualClock()
        let broker = InMemoryBroker(clock: clock)
        let bus = EventBus(transport: .inMemory(broker))
        let began = Locked<[Int]>([])
        let recovered = Signal()
        bus.subscribe(
            to: OrderCreated.self,
            group: "g",
            options: .init(
                retry: .fixed(.zero, maximumAttempts: 2),
                handlerTimeout: .seconds(60),
                middleware: [try TimeoutMiddleware(.seconds(2))]
            )
        ) { _, context in
            began.withLock { $0.append(context.attempt) }
            if context.attempt == 1 { try await Signal().wait() }
            recovered.raise()
        }
        try await bus.withRunning {
            try await bus.publish(OrderCreated(orderID: "1"))
            try await eventually("the first attempt") { began.withLock { $0 } == [1] }
            try await eventually("the limit strikes") {
                if recovered.isRaised { return true }
                clock.advance(by: .milliseconds(100))
                return false
            }
            #expect(began.withLock { $0 } == [1, 2])
            #expect(clock.now.offset < .seconds(60))
        }
    }
}

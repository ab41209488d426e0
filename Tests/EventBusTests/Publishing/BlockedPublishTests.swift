import EventBus
import EventBusTesting
import Testing

@testable import EventBusInMemory

@Suite("In-memory broker in detail", .timeLimit(.minutes(1)))
struct BlockedPublishTests {
    @Test("A full queue forgets publishes that gave up waiting for room")
    func givenUp() async throws {
        let broker = InMemoryBroker(configuration: .init(maximumQueueLength: 1), clock: ManualClock())
        let bus = EventBus(transport: .inMemory(broker))
        bus.subscribe(to: OrderCreated.self, group: "g") { _, _ in }
        try await bus.withRunning {}
        let other = EventBus(transport: .inMemory(broker))
        try await other.withRunning {
            try await other.publish(OrderCreated(orderID: "0"))
            for _ in 0..<200 {
                let error = await #expect(throws: EventBusError.self) {
                    try await other.publish(OrderCreated(orderID: "1"), options: .init(deadline: .zero))
                }
                #expect(error?.code == .blocked)
            }
            let remembered = broker.look { state in state.queues.map(\.waitingForRoom.count).reduce(0, +) }
            #expect(remembered < 50)
        }
    }
}

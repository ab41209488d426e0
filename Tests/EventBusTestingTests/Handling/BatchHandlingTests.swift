import EventBus
import EventBusInMemory
import EventBusTesting
import Testing

private struct OrderPlaced: Event, Equatable {
    static let topic: Topic = "order.placed"
    var orderID: String
}

private struct OrderIndexed: Event {
    static let topic: Topic = "order.indexed"
    var orderID: String
}

private struct InvalidOrder: NonRetryable {}

@Suite("Batch handlers without a bus", .timeLimit(.minutes(1)))
struct BatchHandlingTests {
    @Test("A batch handler can be called directly, and the events that it declares failed are known")
    func failures() async throws {
        let orders = [OrderPlaced(orderID: "1"), OrderPlaced(orderID: "")]
        let batch = try orders.map { try BatchedEvent(handling: $0) }
        for order in batch where order.event.orderID.isEmpty { order.fail(InvalidOrder()) }
        #expect(batch.map(\.event) == orders)
        #expect(batch.map { $0.failure is InvalidOrder } == [false, true])
        #expect(batch[0].failure == nil)
    }

    @Test("What is published on behalf of an event belongs to its chain, with an id that is derived from it")
    func publishing() async throws {
        let recorder = EventRecorder()
        var configuration = EventBusConfiguration()
        configuration.record(with: recorder)
        let bus = EventBus(transport: .inMemory(), configuration: configuration)
        let context = try EventContext(handling: OrderPlaced(orderID: "1"), attempt: 2)
        let order = try BatchedEvent(handling: OrderPlaced(orderID: "1"), context: context)
        #expect(order.context.attempt == 2)
        try await bus.withRunning {
            for _ in 0..<2 {
                _ = try await order.withContext { try await bus.publish(OrderIndexed(orderID: "1")) }
            }
        }
        let published = recorder.published.map(\.envelope)
        #expect(published.map(\.causationID) == [context.id, context.id])
        #expect(Set(published.map(\.id)).count == 1)
    }
}

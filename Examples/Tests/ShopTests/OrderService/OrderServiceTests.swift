import EventBus
import EventBusInMemory
import OrderService
import ShopEvents
import Testing

@Suite("The order service", .timeLimit(.minutes(1)))
struct OrderServiceTests {
    private let broker = InMemoryBroker()

    private func order(_ id: String, quantity: Int = 1) throws -> Order {
        let line = try #require(OrderLine(sku: "A", quantity: quantity, unitPrice: Money(cents: 100)))
        return try #require(Order(id: id, customerID: "C", placedAt: "", shipCountry: "France", items: [line]))
    }

    @Test("Placing the same order again publishes the same event, and another one with its id is refused")
    func placingAgain() async throws {
        let bus = EventBus(transport: .inMemory(broker))
        let store = InMemoryOrderStore(bus: bus)
        let service = OrderService(bus: bus, store: store)
        let ids = EventIDs()
        bus.subscribe(to: OrderCreated.self, group: "test") { _, context in await ids.append(context.id) }
        let (order, other) = try (order("1"), order("1", quantity: 2))
        try await bus.withRunning { [broker] in
            try await service.place(order)
            try await service.place(order)
            await #expect(throws: OrderServiceError.duplicateID("1")) { try await service.place(other) }
            try await broker.settled()
        }
        #expect(await ids.all == ["1", "1"])
    }

    @Test("An order without a subscribed inventory is an error, and can be placed again")
    func noInventory() async throws {
        let bus = EventBus(transport: .inMemory(broker))
        let store = InMemoryOrderStore(bus: bus)
        let service = OrderService(bus: bus, store: store)
        let order = try order("1")
        try await bus.withRunning {
            let error = await #expect(throws: EventBusError.self) { try await service.place(order) }
            #expect(error?.code == .unroutable)
            let subscription = bus.subscribe(to: OrderCreated.self, group: "test") { _, _ in }
            try await subscription.attached()
            try await service.place(order)
        }
        #expect(await store.order("1")?.status == .placed)
    }

    @Test("A second, different answer of the inventory is a dead letter, and the first one is kept")
    func contradiction() async throws {
        let bus = EventBus(transport: .inMemory(broker))
        let store = InMemoryOrderStore(bus: bus)
        let service = OrderService(bus: bus, store: store)
        service.subscribe()
        for type in [OrderCreated.topic, OrderConfirmed.topic, OrderCancelled.topic] {
            bus.subscribe(to: TopicPattern(type), group: "test") { _, _ in }
        }
        let order = try order("1")
        try await bus.withRunning { [broker] in
            try await service.place(order)
            try await bus.publish(StockReserved(orderID: "1", quantities: ["A": 1]))
            try await broker.settled()
            try await bus.publish(StockRejected(orderID: "1", reason: .outOfStock, skus: ["A"]))
            try await bus.publish(StockReserved(orderID: "2", quantities: [:]))
            try await broker.settled()
        }
        #expect(await store.order("1")?.status == .confirmed)
        let letters = try await bus.deadLetters(of: OrderService.group).entries(limit: 10)
        #expect(Set(letters.map(\.envelope.topic)) == [StockRejected.topic, StockReserved.topic])
        #expect(letters.allSatisfy { $0.failure.reason == .nonRetryable })
    }
}

private actor EventIDs {
    private(set) var all: [EventID] = []

    func append(_ id: EventID) { all.append(id) }
}

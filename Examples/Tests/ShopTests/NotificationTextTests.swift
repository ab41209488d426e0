import EventBus
import EventBusInMemory
import NotificationService
import ShopEvents
import Testing

@Suite("The texts of notices", .timeLimit(.minutes(1)))
struct NotificationTextTests {
    private let broker = InMemoryBroker()

    private func text(skus: [String]) async throws -> String {
        let bus = EventBus(transport: .inMemory(broker))
        let log = InMemoryNotificationLog()
        NotificationService(bus: bus, log: log).subscribe()
        try await bus.withRunning { [broker] in
            let event = OrderCancelled(orderID: "1", customerID: "C", reason: .outOfStock, skus: skus)
            try await bus.publish(event)
            try await broker.settled()
        }
        return try await #require(log.all().first).text
    }

    @Test("A notice names the products of a cancelled order, and only the first ones of many")
    func products() async throws {
        #expect(try await text(skus: ["A"]) == "Your order 1 is cancelled: A is out of stock.")
        #expect(try await text(skus: ["A", "B"]) == "Your order 1 is cancelled: A, B are out of stock.")
        let many = (0..<1000).map { number in
            let digits = String(number)
            return String(repeating: "S", count: 64 - digits.utf8.count) + digits
        }
        let text = try await text(skus: many)
        #expect(text.hasSuffix("19 and 980 others are out of stock."))
        #expect(text.utf8.count < 1500)
    }
}

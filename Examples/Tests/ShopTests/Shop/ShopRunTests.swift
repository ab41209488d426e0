import EventBus
import EventBusInMemory
import InventoryService
import OrderService
import ShopData
import ShopEvents
import Testing

@testable import Shop

@Suite("A run of the whole shop", .timeLimit(.minutes(5)))
struct ShopRunTests {
    private func sample(_ count: Int = 1_000) -> ShopInput {
        let sample = SampleData(orderCount: count)
        return ShopInput(orders: sample.orders, stock: sample.stock)
    }

    private func order(_ id: Int, of sku: String, quantity: Int = 1) throws -> Order {
        let line = try #require(OrderLine(sku: sku, quantity: quantity, unitPrice: Money(cents: 100)))
        return try #require(Order(id: "\(id)", customerID: "C", placedAt: "", shipCountry: "France", items: [line]))
    }

    private func stock(_ sku: String, _ quantity: Int) throws -> StockItem {
        try #require(StockItem(sku: sku, name: sku, quantity: quantity, unitPrice: Money(cents: 100)))
    }

    @Test("The samples are always the same")
    func samples() {
        let (first, second) = (SampleData(), SampleData())
        #expect(first.orders.count == 1_000)
        #expect(first.orders == second.orders)
        #expect(first.stock == second.stock)
    }

    @Test("Every order of the sample has one outcome, and some are rejected")
    func sampleRun() async throws {
        let outcome = try await ShopRun(input: sample()).run()
        #expect(outcome.audit.violations == [])
        #expect(outcome.report.orders == 1_000)
        #expect(outcome.report.notified == 1_000)
        #expect(outcome.report.reserved > 0)
        #expect(outcome.report.rejected > 0)
        #expect(outcome.report.reserved + outcome.report.rejected == 1_000)
        #expect(outcome.report.retries == 0)
        #expect(outcome.report.duplicatesSuppressed == 0)
    }

    @Test("The books agree with any faults of the broker", arguments: [1, 2, 3, 17, 42] as [UInt64])
    func faults(seed: UInt64) async throws {
        let outcome = try await ShopRun(input: sample(400), broker: faulty(seed)).run()
        #expect(outcome.audit.violations == [], "seed \(seed)")
        #expect(outcome.report.orders == 400)
        #expect(outcome.report.notified == 400)
        #expect(outcome.report.retries > 0, "seed \(seed)")
        #expect(outcome.report.duplicatesSuppressed > 0, "seed \(seed)")
    }

    @Test("Without inboxes the stores alone keep the books right", arguments: [1, 2] as [UInt64])
    func withoutInbox(seed: UInt64) async throws {
        let outcome = try await ShopRun(input: sample(400), broker: faulty(seed), usesInbox: false).run()
        #expect(outcome.audit.violations == [], "seed \(seed)")
        #expect(outcome.report.notified == 400)
        #expect(outcome.report.duplicatesSuppressed == 0)
    }

    @Test("Of a hundred orders for ten items, ten are confirmed")
    func contested() async throws {
        let input = ShopInput(orders: try (1...100).map { try order($0, of: "A") }, stock: [try stock("A", 10)])
        let outcome = try await ShopRun(input: input, broker: faulty(5)).run()
        #expect(outcome.audit.violations == [])
        #expect(outcome.report.reserved == 10)
        #expect(outcome.report.remainingStock == ["A": 0])
    }

    @Test("An order for an unknown product is rejected")
    func unknownProduct() async throws {
        let input = ShopInput(orders: [try order(1, of: "Z")], stock: [try stock("A", 10)])
        let outcome = try await ShopRun(input: input).run()
        #expect(outcome.audit.violations == [])
        #expect(outcome.audit.orders.map(\.status) == [.cancelled(.unknownProduct, skus: ["Z"])])
    }

    @Test("A file without orders is valid")
    func nothing() async throws {
        let outcome = try await ShopRun(input: ShopInput(orders: [], stock: [])).run()
        #expect(outcome.audit.violations == [])
        #expect(outcome.report.orders == 0)
    }
}

/// Returns an in-memory broker with the faults of a seed.
private func faulty(_ seed: UInt64) -> BrokerKind {
    .inMemory(InMemoryBroker(faults: FaultPlan(seed: seed)))
}

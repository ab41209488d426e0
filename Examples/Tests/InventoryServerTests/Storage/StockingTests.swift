import InventoryService
import ShopEvents
import Testing

@testable import InventoryServer

@Suite("Stocking", .timeLimit(.minutes(1)))
struct StockingTests {
    private let file: StockFile
    private let store: SQLStockStore

    init() throws {
        file = try StockFile()
        store = try Replica(file).store
    }

    @Test("A product is created and changed, and omitted values are kept")
    func put() async throws {
        let change = StockChange(quantity: 7, name: "Queso Cabrales", unitPrice: Money(cents: 2100))
        let made = try await store.put("NW-011", change, fencingToken: 1)
        #expect(made.isNew)
        #expect(made.item.name == "Queso Cabrales")
        let changed = try await store.put("NW-011", StockChange(quantity: 0), fencingToken: 2)
        #expect(!changed.isNew)
        #expect(
            changed.item
                == StockItem(sku: "NW-011", name: "Queso Cabrales", quantity: 0, unitPrice: Money(cents: 2100))
        )
        #expect(try await store.item("NW-011") == changed.item)
    }

    @Test("A new product without a name is named by its SKU and costs nothing")
    func defaults() async throws {
        let made = try await store.put("NW-011", StockChange(quantity: 1), fencingToken: 1)
        #expect(made.item == StockItem(sku: "NW-011", name: "NW-011", quantity: 1, unitPrice: .zero))
    }

    @Test("A change under a lease that another one has followed is refused, even for the creator of the product")
    func staleToken() async throws {
        _ = try await store.put("A", StockChange(quantity: 1), fencingToken: 5)
        await #expect(throws: StaleFencingToken(sku: "A", token: 4, seen: 5)) {
            try await store.put("A", StockChange(quantity: 9), fencingToken: 4)
        }
        #expect(try await store.allLevels() == ["A": 1])
        // The same lease may change it twice.
        _ = try await store.put("A", StockChange(quantity: 2), fencingToken: 5)
        await #expect(throws: StaleFencingToken.self) {
            try await store.record(.reserved(["A": 1]), for: "1", fencingTokens: ["A": 4], handling: nil)
        }
    }

    @Test("An invalid quantity is refused")
    func impossible() async throws {
        await #expect(throws: ImpossibleStock(sku: "A", quantity: -1)) {
            try await store.put("A", StockChange(quantity: -1), fencingToken: 1)
        }
    }

    @Test("Products are listed by page in the order of their SKUs")
    func pages() async throws {
        _ = try await store.open(with: ["C", "A", "D", "B"].map { try .sample($0, 1) })
        #expect(try await store.items(after: nil, limit: 3).map(\.sku) == ["A", "B", "C"])
        #expect(try await store.items(after: "C", limit: 3).map(\.sku) == ["D"])
        #expect(try await store.items(after: "AA", limit: 1).map(\.sku) == ["B"])
        #expect(try await store.items(after: "D", limit: 3).isEmpty)
    }
}

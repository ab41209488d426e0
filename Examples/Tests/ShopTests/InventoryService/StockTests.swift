import EventBus
import EventBusInMemory
import InventoryService
import ShopEvents
import Testing

@Suite("Stock", .timeLimit(.minutes(1)))
struct StockTests {
    private let levels = ["A": 3, "B": 1]

    @Test("An order gets all of its lines or none")
    func allOrNothing() {
        #expect(StockDecision(wanted: ["A": 3, "B": 1], levels: levels) == .reserved(["A": 3, "B": 1]))
        #expect(StockDecision(wanted: ["A": 1, "B": 2], levels: levels) == .rejected(.outOfStock, skus: ["B"]))
        #expect(StockDecision(wanted: ["A": 4, "B": 2], levels: levels) == .rejected(.outOfStock, skus: ["A", "B"]))
        #expect(
            StockDecision(wanted: ["A": 9, "Z": 1, "Y": 1], levels: levels)
                == .rejected(.unknownProduct, skus: ["Y", "Z"])
        )
    }

    /// Calls `body` with five items of A, and a subscriber to the decisions.
    private func withStore(_ body: @escaping @Sendable (InMemoryStockStore) async throws -> Void) async throws {
        let bus = EventBus(transport: .inMemory())
        bus.subscribe(to: "stock.*", group: "test") { _, _ in }
        let store = InMemoryStockStore(
            [try #require(StockItem(sku: "A", name: "a", quantity: 5, unitPrice: .zero))],
            bus: bus
        )
        try await bus.withRunning { try await body(store) }
    }

    @Test("A decision is recorded once, and the first one is kept")
    func firstDecisionStands() async throws {
        try await withStore { store in
            let first = try await store.record(
                .reserved(["A": 2]),
                for: "1",
                fencingTokens: ["A": 1],
                handling: nil
            )
            let second = try await store.record(
                .rejected(.outOfStock, skus: ["A"]),
                for: "1",
                fencingTokens: ["A": 2],
                handling: nil
            )
            #expect(first == .reserved(["A": 2]))
            #expect(second == first)
            #expect(await store.allLevels() == ["A": 3])
        }
    }

    @Test("A token lower than an earlier one is refused, and nothing is changed")
    func staleToken() async throws {
        try await withStore { store in
            _ = try await store.record(.reserved(["A": 2]), for: "1", fencingTokens: ["A": 7], handling: nil)
            await #expect(throws: StaleFencingToken(sku: "A", token: 6, seen: 7)) {
                try await store.record(.reserved(["A": 2]), for: "2", fencingTokens: ["A": 6], handling: nil)
            }
            #expect(await store.allLevels() == ["A": 3])
            #expect(await store.decision(for: "2") == nil)
        }
    }
}

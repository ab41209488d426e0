import EventBus
import GRDB
import InventoryService
import ServiceTestKit
import ShopEvents
import Testing

@testable import InventoryServer

@Suite("Stock in a database", .timeLimit(.minutes(1)))
struct SQLStockStoreTests {
    private let file: StockFile
    private let replica: Replica

    private var store: SQLStockStore { replica.store }

    init() async throws {
        file = try StockFile()
        replica = try Replica(file)
        _ = try await replica.store.open(with: [.sample("A", 5), .sample("B", 1)])
    }

    @Test("A decision removes the reserved items, and its event waits in the outbox")
    func reserved() async throws {
        let decision = StockDecision.reserved(["A": 2, "B": 1])
        let stands = try await store.record(decision, for: "1", fencingTokens: ["A": 1, "B": 1], handling: nil)
        #expect(stands == decision)
        #expect(try await store.allLevels() == ["A": 3, "B": 0])
        #expect(try await store.decision(for: "1") == decision)
        let events = try await replica.database.outbox()
        #expect(events.map(\.topic) == ["stock.reserved"])
        #expect(events.first?.requiresSubscriber == true)
    }

    @Test("A rejection removes nothing, and keeps its reason and products")
    func rejected() async throws {
        let decision = StockDecision.rejected(.unknownProduct, skus: ["Y", "Z"])
        _ = try await store.record(decision, for: "1", fencingTokens: ["Y": 1, "Z": 1], handling: nil)
        #expect(try await store.allLevels() == ["A": 5, "B": 1])
        #expect(try await store.allDecisions() == ["1": decision])
        #expect(try await replica.database.outbox().map(\.topic) == ["stock.rejected"])
    }

    @Test("The first decision about an order is kept and announced once")
    func firstStands() async throws {
        let first = StockDecision.reserved(["A": 2])
        _ = try await store.record(first, for: "1", fencingTokens: ["A": 1], handling: nil)
        let stands = try await store.record(
            .rejected(.outOfStock, skus: ["A"]),
            for: "1",
            fencingTokens: ["A": 2],
            handling: nil
        )
        #expect(stands == first)
        #expect(try await store.allLevels()["A"] == 3)
        #expect(try await replica.database.outbox().count == 1)
    }

    @Test("A token lower than an earlier one is refused by every store, and nothing is changed")
    func staleToken() async throws {
        let other = try Replica(file)
        _ = try await other.store.record(.reserved(["A": 1]), for: "1", fencingTokens: ["A": 7], handling: nil)
        await #expect(throws: StaleFencingToken(sku: "A", token: 6, seen: 7)) {
            try await store.record(
                .reserved(["A": 1, "B": 1]),
                for: "2",
                fencingTokens: ["A": 6, "B": 9],
                handling: nil
            )
        }
        #expect(try await store.allLevels() == ["A": 4, "B": 1])
        #expect(try await store.decision(for: "2") == nil)
        #expect(try await replica.database.outbox().map(\.topic) == ["stock.reserved"])
        // Neither is the other product's fence.
        _ = try await store.record(.reserved(["B": 1]), for: "3", fencingTokens: ["B": 1], handling: nil)
    }

    @Test("Tokens keep their order up to the maximum")
    func greatTokens() async throws {
        _ = try await store.record(.reserved(["A": 1]), for: "1", fencingTokens: ["A": .max], handling: nil)
        await #expect(throws: StaleFencingToken(sku: "A", token: .max - 1, seen: .max)) {
            try await store.record(.reserved(["A": 1]), for: "2", fencingTokens: ["A": .max - 1], handling: nil)
        }
    }

    @Test("More items than exist cannot be removed, whatever lock and token allow")
    func constraint() async throws {
        let error = try await #require(throws: DatabaseError.self) {
            try await store.record(.reserved(["A": 1, "B": 2]), for: "1", fencingTokens: [:], handling: nil)
        }
        #expect("\(error)".contains("more_is_reserved_than_there_is"))
        #expect(try await store.allLevels() == ["A": 5, "B": 1])
        #expect(try await store.decision(for: "1") == nil)
        #expect(try await replica.database.outbox().isEmpty)
    }

    @Test("Nothing can be removed from a missing product")
    func unknown() async throws {
        await #expect(throws: UnknownProduct(sku: "Z")) {
            try await store.record(.reserved(["A": 1, "Z": 1]), for: "1", fencingTokens: [:], handling: nil)
        }
        #expect(try await store.allLevels()["A"] == 5)
    }

    @Test("If the event cannot be stored, nothing is")
    func outboxFails() async throws {
        try await replica.database.execute("ALTER TABLE eventbus_outbox RENAME TO away")
        await #expect(throws: DatabaseError.self) {
            try await store.record(.reserved(["A": 2]), for: "1", fencingTokens: ["A": 3], handling: nil)
        }
        #expect(try await store.allLevels()["A"] == 5)
        #expect(try await replica.database.count(of: "decisions") == 0)
        #expect(try await replica.database.count(of: "decision_lines") == 0)
        try await replica.database.execute("ALTER TABLE away RENAME TO eventbus_outbox")
        // The fence was not stored either.
        _ = try await store.record(.reserved(["A": 2]), for: "1", fencingTokens: ["A": 2], handling: nil)
        #expect(try await store.allLevels()["A"] == 3)
    }

    @Test("The tables refuse invalid data")
    func tables() async throws {
        for sql in [
            "UPDATE stock SET quantity = -1 WHERE sku = 'A'",
            "INSERT INTO stock (sku, name, quantity, unit_price_cents) VALUES ('', '', 1, 1)",
            "INSERT INTO decisions (order_id, outcome, decided_at) VALUES ('1', 'rejected', 1)",
            "INSERT INTO decision_lines (order_id, sku, quantity) VALUES ('nobody', 'A', 1)",
        ] {
            await #expect(throws: DatabaseError.self, "\(sql)") { try await replica.database.execute(sql) }
        }
    }
}

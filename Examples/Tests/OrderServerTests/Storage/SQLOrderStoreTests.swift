import EventBus
import GRDB
import OrderService
import ServiceTestKit
import ShopEvents
import Testing

@testable import OrderServer

@Suite("The order store", .timeLimit(.minutes(2)))
struct SQLOrderStoreTests {
    @Test("An order, its lines, its history and its event are stored together")
    func placing() async throws {
        let scene = try Scene(now: { EventTime(milliseconds: 1_767_225_600_250) })
        let draft = try OrderDraft.sample()
        let placement = try await scene.store.place(draft, correlationID: "request-1")
        #expect(!placement.isReplay)
        let record = try #require(try await scene.store.record(of: placement.record.order.id))
        #expect(record == placement.record)
        #expect(OrderDraft(of: record.order) == draft)
        #expect(record.order.placedAt == "2026-01-01")
        #expect(record.status == .placed)
        #expect(record.history.map(\.status) == [.placed])
        #expect(record.history.first?.at.rfc3339 == "2026-01-01T00:00:00.250Z")
        #expect(
            try await scene.database.outbox() == [
                WaitingEvent(
                    id: record.order.id,
                    topic: "order.created",
                    correlationID: "request-1",
                    requiresSubscriber: true
                )
            ]
        )
    }

    @Test("Lines keep their order, their prices and their discounts")
    func lines() async throws {
        let scene = try Scene()
        let lines = try (1...12).map { number in
            let discount = try #require(Discount(basisPoints: Int64(number) * 100))
            let price = Money(cents: Int64(number) * 333)
            let line = OrderLine(sku: "S\(number % 3)", quantity: number, unitPrice: price, discount: discount)
            return try #require(line)
        }
        let draft = try #require(OrderDraft(customerID: "Ö'; --", shipCountry: "Côte d'Ivoire", items: lines))
        let id = try await scene.store.place(draft, correlationID: "c").record.order.id
        #expect(try await scene.store.order(id).map { OrderDraft(of: $0.order) } == draft)
        let all = try await scene.store.all()
        #expect(all.map(\.order.items) == [lines])
    }

    @Test(
        "What cannot be stored as a whole is not stored at all",
        arguments: ["orders", "order_lines", "order_history", "idempotency_keys", "eventbus_outbox"]
    )
    func allOrNothing(table: String) async throws {
        let scene = try Scene()
        try await scene.database.execute(
            "CREATE TRIGGER refuse BEFORE INSERT ON \(table) BEGIN SELECT RAISE(ABORT, 'refused'); END"
        )
        let key = try #require(IdempotencyKey("key"))
        await #expect(throws: DatabaseError.self) {
            try await scene.store.place(try .sample(), correlationID: "c", key: key)
        }
        for table in ["orders", "order_lines", "order_history", "idempotency_keys", "eventbus_outbox"] {
            #expect(try await scene.database.count(of: table) == 0, "\(table)")
        }
        try await scene.database.execute("DROP TRIGGER refuse")
        #expect(try await !scene.store.place(try .sample(), correlationID: "c", key: key).isReplay)
    }

    @Test("A repeated order is stored and announced once, and another one with its id is not stored")
    func insertingAgain() async throws {
        let scene = try Scene()
        let order = try OrderDraft.sample().placed(at: .now())
        #expect(try await scene.store.insert(order) == order)
        #expect(try await scene.store.insert(order) == order)
        let other = try #require(
            Order(
                id: order.id,
                customerID: "other",
                placedAt: order.placedAt,
                shipCountry: "Spain",
                items: order.items
            )
        )
        #expect(try await scene.store.insert(other) == order)
        #expect(try await scene.database.outbox().map(\.id) == [order.id])
    }

    @Test(
        "An order ends once: the first end stands, and is announced",
        arguments: [OrderStatus.confirmed, .cancelled(.outOfStock, skus: ["A", "B\"'"])]
    )
    func ending(status: OrderStatus) async throws {
        let scene = try Scene()
        let id = try await scene.store.place(try .sample(), correlationID: "request-1").record.order.id
        #expect(try await scene.store.end(id, as: status, handling: nil) == status)
        #expect(try await scene.store.end(id, as: status, handling: nil) == status)
        #expect(try await scene.store.end(id, as: .cancelled(.unknownProduct, skus: []), handling: nil) == status)
        let record = try #require(try await scene.store.record(of: id))
        #expect(record.status == status)
        #expect(record.history.map(\.status) == [.placed, status.kind])
        let events = try await scene.database.outbox()
        #expect(events.map(\.topic) == ["order.created", "order.\(status.kind)"])
        #expect(events.allSatisfy { $0.correlationID == "request-1" && $0.requiresSubscriber })
    }

    @Test("A database that another process keeps busy is an outage in the bus's terms")
    func outage() async throws {
        let file = try DatabaseFile()
        let scene = try Scene(database: file.open(timeout: 0))
        let other = try file.open()
        try await other.writeWithoutTransaction { db in try db.execute(sql: "BEGIN IMMEDIATE") }
        let error = await #expect(throws: EventBusError.self) {
            try await scene.store.place(try .sample(), correlationID: "c")
        }
        #expect(error?.code == .unavailable)
        #expect((error?.underlying as? DatabaseError)?.resultCode == .SQLITE_BUSY)
        try await other.writeWithoutTransaction { db in try db.execute(sql: "ROLLBACK") }
        #expect(try await !scene.store.place(try .sample(), correlationID: "c").isReplay)
    }

    @Test("There is nothing to end without an order")
    func unknownOrder() async throws {
        let scene = try Scene()
        #expect(try await scene.store.end("1", as: .confirmed, handling: nil) == nil)
        #expect(try await scene.store.order("1") == nil)
        #expect(try await scene.database.outbox() == [])
    }

    @Test("The schema refuses invalid orders", arguments: refusals)
    func schema(sql: String) async throws {
        let scene = try Scene()
        let id = try await scene.store.place(try .sample(), correlationID: "c").record.order.id
        let error = await #expect(throws: DatabaseError.self) {
            try await scene.database.execute(sql.replacing("ID", with: "'\(id)'"))
        }
        #expect(error?.resultCode == .SQLITE_CONSTRAINT)
    }

    private static let refusals = [
        "UPDATE orders SET status = 'lost'",
        "UPDATE orders SET status = 'cancelled'",
        "UPDATE orders SET reason = 'outOfStock', skus = '[]'",
        "UPDATE orders SET status = 'cancelled', reason = 'whim', skus = '[]'",
        "UPDATE orders SET status = 'cancelled', reason = 'outOfStock', skus = 'A'",
        "UPDATE orders SET total_cents = -1",
        "UPDATE order_lines SET quantity = 0",
        "UPDATE order_lines SET unit_price_cents = -1",
        "UPDATE order_lines SET discount_basis_points = 10001",
        "INSERT INTO order_history VALUES (ID, 'placed', 1)",
        "INSERT INTO order_history VALUES ('nobody', 'placed', 1)",
        "INSERT INTO idempotency_keys VALUES ('client', 'key', 'nobody', 1)",
    ]
}

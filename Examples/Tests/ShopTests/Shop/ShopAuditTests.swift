import InventoryService
import NotificationService
import OrderService
import ShopData
import ShopEvents
import Testing

@Suite("The audit finds violations", .timeLimit(.minutes(1)))
struct ShopAuditTests {
    /// Returns books that agree: one confirmed order for three items, and one rejected order for four.
    private func books() throws -> ShopAudit {
        ShopAudit(
            orders: [
                (try order("1", quantity: 3), .confirmed),
                (try order("2", quantity: 4), .cancelled(.outOfStock, skus: ["A"])),
            ],
            decisions: ["1": .reserved(["A": 3]), "2": .rejected(.outOfStock, skus: ["A"])],
            openingStock: ["A": 5],
            remainingStock: ["A": 2],
            notifications: [notice("1", .confirmed), notice("2", .cancelled)],
            deadLetters: 0
        )
    }

    private func order(_ id: String, quantity: Int) throws -> Order {
        let line = try #require(OrderLine(sku: "A", quantity: quantity, unitPrice: Money(cents: 150)))
        return try #require(Order(id: id, customerID: "C", placedAt: "", shipCountry: "France", items: [line]))
    }

    private func notice(_ id: String, _ outcome: Notice.Outcome) -> Notice {
        Notice(orderID: id, customerID: "C", outcome: outcome, text: "")
    }

    @Test("Books that agree have no violations")
    func clean() throws {
        let books = try books()
        #expect(books.violations == [])
        #expect(books.revenue == Money("4.50"))
    }

    @Test("An order without an outcome is found")
    func noOutcome() throws {
        var books = try books()
        books.orders[1].status = .placed
        books.notifications.removeLast()
        #expect(books.violations == ["1 orders have no outcome: 2"])
    }

    @Test("A missing, a second and a wrong notification are found")
    func notifications() throws {
        var books = try books()
        let last = books.notifications.removeLast()
        #expect(books.violations.count == 2)
        books.notifications += [last, last]
        #expect(books.violations.count == 2)
        books.notifications = [notice("1", .cancelled), last]
        #expect(books.violations == ["customers were not told once what became of: 1"])
        books.notifications = [notice("1", .confirmed), notice("1", .confirmed)]
        #expect(books.violations == ["customers were not told once what became of: 1, 2"])
    }

    @Test("Items that were sold and never existed are found")
    func oversold() throws {
        var books = try books()
        books.orders.append((try order("3", quantity: 3), .confirmed))
        books.decisions["3"] = .reserved(["A": 3])
        books.notifications.append(notice("3", .confirmed))
        books.remainingStock["A"] = -1
        #expect(books.oversold == 1)
        #expect(books.violations == ["1 pieces were oversold"])
    }

    @Test("Missing items are found")
    func vanished() throws {
        var books = try books()
        books.remainingStock["A"] = 1
        #expect(books.violations == ["A: 5 before is not 1 remaining and 3 reserved"])
    }

    @Test("An order that the inventory decided differently is found")
    func disagreement() throws {
        var books = try books()
        books.decisions["2"] = nil
        #expect(books.violations == ["orders and inventory disagree on: 2"])
        books.decisions["2"] = .reserved(["A": 4])
        #expect(books.violations == ["orders and inventory disagree on: 2"])
    }

    @Test("A dead letter is found")
    func deadLetter() throws {
        var books = try books()
        books.deadLetters = 1
        #expect(books.violations == ["1 dead letters are left"])
    }
}

import InventoryService
import NotificationService
import OrderService
public import ShopData

/// The books of the three services at the end of a run, and further facts about a fleet that the audit checks.
public struct FleetAudit: Sendable {
    /// The audit that applies to every shop. Orders have the numbers that they had in the input.
    public var shop: ShopAudit
    /// The number of messages in the mail file.
    public var mails: Int
    /// The handled events, including those that were handled more than once.
    public var handlings: HandlingLog
    /// The queues in RabbitMQ at the end of the run.
    public var queues: [Brokers.Queue]
    /// The violations, one on each line. It is empty if the books agree.
    public private(set) var violations: [String]

    /// The facts that a run knows in addition to the books.
    struct Evidence: Sendable {
        var input: ShopInput
        var figures: LoadGenerator.Figures
        var isInterrupted: Bool
        var disturbance: Disturbance
        var events: [FleetEvent]
        var handlings: HandlingLog
        var queues: [Brokers.Queue]
        /// The problems with processes, one on each line.
        var problems: [String]
    }

    init(_ books: DatabaseSnapshot, _ evidence: Evidence) async throws {
        let orderBook = try await books.orderBook()
        let stockBook = try await books.stockBook()
        let notificationBook = try await books.notificationBook()
        let counts = try await books.counts()
        let names = Dictionary(evidence.figures.placed.map { ($1, $0) }) { first, _ in first }
        func name(_ id: String) -> String { names[id] ?? id }

        mails = notificationBook.mailbox.messages.count
        handlings = evidence.handlings
        queues = evidence.queues
        shop = ShopAudit(
            orders: orderBook.orders.map { ($0.order.renamed(name($0.order.id)), $0.status) },
            decisions: Dictionary(stockBook.decisions.map { (name($0), $1) }) { first, _ in first },
            openingStock: Dictionary(evidence.input.stock.map { ($0.sku, $0.quantity) }) { first, _ in first },
            remainingStock: stockBook.levels,
            notifications: notificationBook.notices.map { notice in
                var notice = notice
                notice.orderID = name(notice.orderID)
                return notice
            },
            deadLetters: evidence.queues.filter { $0.name.hasSuffix(".dead") }.reduce(0) { $0 + $1.messages }
        )
        violations = shop.violations
        check(evidence, stored: shop.orders.map(\.order), keys: orderBook.keys)
        check(notificationBook)
        check(counts.waiting == 0, "\(counts.waiting) events wait in the outboxes")
        check(counts.parked == 0, "\(counts.parked) events were given up by the outboxes")
        let left = queues.filter { !$0.name.hasSuffix(".dead") && $0.messages > 0 }
        check(left.isEmpty, "messages are left: \(left.map { "\($0.messages) in \($0.name)" })")
        if let end = orderBook.endedAt.values.max(), let last = evidence.events.last(where: { $0.kind != .started }) {
            check(
                last.time <= end * 1_000 + 1_000,
                "\(last.member) was \(last.kind.rawValue) after the last order ended"
            )
        }
        violations += evidence.problems
    }

    private mutating func check(_ holds: Bool, _ otherwise: @autoclosure () -> String) {
        if !holds { violations.append(otherwise()) }
    }

    private mutating func check(_ evidence: Evidence, stored: [Order], keys: [String: String]) {
        let figures = evidence.figures
        let (placed, wanted) = (figures.placed.count, evidence.input.orders.count)
        check(placed == wanted || evidence.isInterrupted, "\(placed) of \(wanted) orders were taken")
        check(stored.count == placed, "\(placed) orders were taken, \(stored.count) are stored")
        check(keys.count == stored.count, "\(stored.count) orders have \(keys.count) idempotency keys")
        let byID = Dictionary(stored.map { ($0.id, $0) }) { first, _ in first }
        let changed = evidence.input.orders.filter { order in
            guard figures.placed[order.id] != nil else { return false }
            guard let stored = byID[order.id] else { return true }
            return OrderDraft(of: stored) != OrderDraft(of: order)
        }
        check(
            changed.isEmpty,
            "\(changed.count) orders are not stored as they were placed: \(changed.map(\.id).prefix(5))"
        )
        let customers = Dictionary(stored.map { ($0.id, $0.customerID) }) { first, _ in first }
        let misdirected = shop.notifications.filter { $0.customerID != customers[$0.orderID] }
        check(misdirected.isEmpty, "\(misdirected.count) notifications went to the customer of another order")
        check(
            figures.serverErrors.isEmpty,
            "\(figures.serverErrors.count) answers said that something is broken: \(figures.serverErrors.prefix(3))"
        )
        let isQuiet =
            switch evidence.disturbance {
            case .none, .rolling: true
            case .chaos, .rabbitMQStop: false
            }
        let twice = handlings.twice
        check(twice.isEmpty || !isQuiet, "events were handled twice: \(twice.prefix(5))")
    }

    private mutating func check(_ book: NotificationSnapshot) {
        let ids = book.mailbox.messages.map(\.id)
        check(ids.count == book.notices.count, "\(book.notices.count) notifications, \(ids.count) mails")
        check(!ids.contains(""), "a mail has no Message-ID")
        check(Set(ids).count == ids.count, "\(ids.count - Set(ids).count) mails have a Message-ID of another")
        check(
            Set(book.eventIDs).count == book.eventIDs.count,
            "\(book.eventIDs.count - Set(book.eventIDs).count) notifications tell of the event of another"
        )
    }
}

extension Order {
    /// Returns the same order under another number.
    fileprivate func renamed(_ id: String) -> Order {
        Order(id: id, customerID: customerID, placedAt: placedAt, shipCountry: shipCountry, items: items) ?? self
    }
}

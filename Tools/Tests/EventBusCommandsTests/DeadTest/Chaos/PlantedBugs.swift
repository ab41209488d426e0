import EventBus

/// Five handlers, each with a bug that a test can mend.
enum PlantedBugs {
    /// The group of the handlers.
    static let group = "planted"

    /// A Boolean value indicating whether the bugs are mended.
    @TaskLocal static var areMended = true

    /// The events that meet the bugs.
    static let events: [Envelope] = [
        event("stock", "order.created", #"{"email":"zoe@example.com","order":"A-7","total":120}"#),
        event("price", "order.priced", #"{"order":"A-8","price":12.5}"#),
        event("tenant", "order.shipped", #"{"order":"A-9"}"#),
        event("currency", "order.billed", ##"{"currency":"\"X#\"\\\n","order":"A-10"}"##),
        Envelope(
            id: "bug-checksum",
            topic: "order.archived",
            payload: [0xFF, 0x00, 0x7B, 0x80],
            contentType: "application/octet-stream",
            time: EventTime(milliseconds: 1_700_000_000_123),
            headers: ["tries": 3, "ratio": 0.5]
        ),
    ]

    private static func event(_ bug: String, _ topic: Topic, _ payload: String) -> Envelope {
        Envelope(
            id: EventID("bug-\(bug)"),
            topic: topic,
            payload: Array(payload.utf8),
            time: EventTime(milliseconds: 1_700_000_000_123),
            source: "orders",
            correlationID: CorrelationID("story-\(bug)")
        )
    }

    /// Subscribes the handlers to a bus.
    static func subscribe(_ bus: EventBus) {
        let areMended = areMended
        let options = SubscriptionOptions(retry: .fixed(.milliseconds(10), maximumAttempts: 3))
        func handle(_ topic: TopicPattern, _ handler: @escaping @Sendable (ReceivedEvent) throws -> Void) {
            bus.subscribe(to: topic, group: group, options: options) { event, _ in try handler(event) }
        }
        handle("order.created") { event in
            let order = try event.decoded(as: Order.self)
            if (order.total ?? 0) > 100, !areMended { throw StockError(order: order.order) }
        }
        handle("order.priced") { event in
            // The bug takes a price for a number of cents.
            if areMended {
                _ = try event.decoded(as: Price<Double>.self)
            } else {
                _ = try event.decoded(as: Price<Int>.self)
            }
        }
        handle("order.shipped") { event in
            // The bug expects a header that older services do not set.
            if event.envelope.headers["tenant"] == nil, !areMended { throw MissingTenant() }
        }
        handle("order.billed") { event in
            let bill = try event.decoded(as: Bill.self)
            if bill.currency != "EUR", !areMended { throw UnknownCurrency(name: bill.currency) }
        }
        handle("order.archived") { event in
            // The bug adds signed bytes.
            let sum = event.envelope.payload.reduce(0) { $0 + (areMended ? Int($1) : Int(Int8(bitPattern: $1))) }
            if sum < 0 { throw NegativeChecksum(sum: sum) }
        }
    }

    private struct Order: Decodable {
        var order: String
        var total: Int?
    }

    private struct Price<Amount: Decodable>: Decodable {
        var price: Amount
    }

    private struct Bill: Decodable {
        var currency: String
    }
}

struct StockError: Error, CustomStringConvertible {
    var order: String
    var description: String { "no stock for \(order)" }
}

struct MissingTenant: Error, NonRetryable {}

struct UnknownCurrency: Error, CustomStringConvertible {
    var name: String
    var description: String { "the currency is '\(name)'" }
}

struct NegativeChecksum: Error {
    var sum: Int
}

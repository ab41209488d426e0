import EventBus

/// A handler with a bug that a test can mend.
enum PlantedBug {
    /// The error of the bug.
    struct StockError: Error, CustomStringConvertible {
        var description: String { "no stock for A-7" }
    }

    private struct Order: Decodable {
        var total: Int
        var email: String
    }

    /// A Boolean value indicating whether the bug is mended.
    @TaskLocal static var isMended = true

    /// Subscribes the handler to a bus.
    static func subscribe(_ bus: EventBus) {
        let isMended = isMended
        bus.subscribe(to: "order.created", group: "inventory", name: "order-created") { event, _ in
            let order = try event.decoded(as: Order.self)
            if order.total > 100, !isMended { throw StockError() }
        }
    }
}

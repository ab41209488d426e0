import EventBus

/// An order with three lines, of 271 bytes as JSON: a typical event.
struct PlacedOrder: Event {
    struct Line: Codable {
        var sku: String
        var quantity: Int
        var price: Double
    }

    static let topic: Topic = "bench.filler"

    var id: String
    var customer = "customer-47"
    var placedAt = "2026-01-31T12:00:00.250Z"
    var total = 149.97
    var lines = [
        Line(sku: "SKU-1000", quantity: 1, price: 19.99),
        Line(sku: "SKU-1001", quantity: 2, price: 20.25),
        Line(sku: "SKU-1002", quantity: 3, price: 20.01),
    ]

    init(number: Int) {
        let digits = String(number)
        id = "01936f5e-7a2b-7c3d-8e4f-" + String(repeating: "0", count: max(0, 12 - digits.count)) + digits
    }
}

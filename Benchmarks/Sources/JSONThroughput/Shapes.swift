/// A small, flat event.
struct Ping: Codable {
    var id = 42
    var name = "widget"
    var isActive = true
    var price = 19.99
}

/// An order. With three lines its JSON has 271 bytes.
struct Order: Codable {
    struct Line: Codable {
        var sku: String
        var quantity: Int
        var price: Double
    }

    var id = "01936f5e-7a2b-7c3d-8e4f-5a6b7c8d9e0f"
    var customer = "customer-4711"
    var placedAt = "2026-01-31T12:00:00.250Z"
    var total = 149.97
    var lines: [Line]

    init(lines count: Int) {
        lines = (0..<count).map { Line(sku: "SKU-\(1000 + $0)", quantity: $0 % 5 + 1, price: Double(1999 + $0) / 100) }
    }
}

/// Long strings, with and without escapes.
struct Texts: Codable {
    var texts = (0..<20).map { number in
        String(repeating: "A line with \"quotes\", a backslash \\ and a tab\t, número \(number)\n", count: 4)
    }
    var body = String(repeating: "Plain text without any escape at all, ", count: 100)
}

/// Numbers, most of them in arrays.
struct Numbers: Codable {
    var integers = (0..<100).map { $0 * 1_234_567 }
    var prices = (0..<100).map { Double($0) * 1.25 + 0.01 }
    var matrix = (0..<10).map { row in (0..<10).map { Double(row * $0) / 7 } }
    var point = ["x": 1.5, "y": -2.25]
}

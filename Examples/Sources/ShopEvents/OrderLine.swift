/// So many pieces of one product, at a price.
///
/// Decoding refuses what no shop can mean, such as a negative quantity: no service ever sees it.
public struct OrderLine: Codable, Hashable, Sendable {
    /// The quantities that a line can have.
    public static let quantities = 1...1_000_000
    /// The prices of one piece that a line can have; with these bounds no total overflows.
    public static let unitPrices = Money.zero...Money(cents: 100_000_000)

    /// The product.
    public let sku: String
    /// How many pieces.
    public let quantity: Int
    /// The price of one piece.
    public let unitPrice: Money
    /// What is taken off the price.
    public let discount: Discount

    /// A line; `nil` if quantity or price is out of bounds, or the product has no name.
    public init?(sku: String, quantity: Int, unitPrice: Money, discount: Discount = .none) {
        guard !sku.isEmpty, Self.quantities.contains(quantity), Self.unitPrices.contains(unitPrice) else { return nil }
        self.sku = sku
        self.quantity = quantity
        self.unitPrice = unitPrice
        self.discount = discount
    }

    /// Decodes a line and checks it.
    public init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        sku = try container.decode(String.self, forKey: .sku)
        quantity = try container.decode(Int.self, forKey: .quantity)
        unitPrice = try container.decode(Money.self, forKey: .unitPrice)
        discount = try container.decodeIfPresent(Discount.self, forKey: .discount) ?? .none
        func refuse(_ key: CodingKeys, _ problem: String) -> DecodingError {
            DecodingError.dataCorruptedError(forKey: key, in: container, debugDescription: problem)
        }
        if sku.isEmpty { throw refuse(.sku, "the sku is empty") }
        if !Self.quantities.contains(quantity) {
            throw refuse(.quantity, "the quantity is \(quantity); 1 to \(Self.quantities.upperBound) can be ordered")
        }
        if !Self.unitPrices.contains(unitPrice) {
            throw refuse(.unitPrice, "the price is \(unitPrice); it can be 0 to \(Self.unitPrices.upperBound)")
        }
    }

    /// What the line costs, rounded half up to the cent.
    public var total: Money {
        let exact = unitPrice.cents * Int64(quantity) * (10_000 - discount.basisPoints)
        return Money(cents: (exact + 5_000) / 10_000)
    }
}

extension Collection<OrderLine> {
    /// What all lines cost together.
    public var total: Money { reduce(.zero) { $0 + $1.total } }

    /// How many pieces of each product there are in all lines together.
    public var quantities: [String: Int] { reduce(into: [:]) { $0[$1.sku, default: 0] += $1.quantity } }
}

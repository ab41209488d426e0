import TerminalText

/// A number of items of one product, at a price.
///
/// Decoding refuses invalid values such as a negative quantity, so no service ever receives them.
public struct OrderLine: Codable, Hashable, Sendable {
    /// The valid quantities of a line.
    public static let quantities = 1...1_000_000
    /// The valid prices of one item. With these bounds no total overflows.
    public static let unitPrices = Money.zero...Money(cents: 100_000_000)

    /// The product.
    public let sku: String
    /// The number of items.
    public let quantity: Int
    /// The price of one item.
    public let unitPrice: Money
    /// The discount on the price.
    public let discount: Discount

    /// Creates a line. Returns `nil` if quantity or price is out of bounds, or the SKU is invalid.
    public init?(sku: String, quantity: Int, unitPrice: Money, discount: Discount = .none) {
        guard ShopRules.isSKU(sku), Self.quantities.contains(quantity), Self.unitPrices.contains(unitPrice) else {
            return nil
        }
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
        if !ShopRules.isSKU(sku) {
            throw refuse(.sku, "\"\(sku.cut(toUTF8Length: 50).printable)\" is no sku")
        }
        if !Self.quantities.contains(quantity) {
            throw refuse(.quantity, "the quantity is \(quantity); 1 to \(Self.quantities.upperBound) can be ordered")
        }
        if !Self.unitPrices.contains(unitPrice) {
            throw refuse(.unitPrice, "the price is \(unitPrice); it can be 0 to \(Self.unitPrices.upperBound)")
        }
    }

    /// The total of the line, rounded half up to the cent.
    public var total: Money {
        let exact = unitPrice.cents * Int64(quantity) * (10_000 - discount.basisPoints)
        return Money(cents: (exact + 5_000) / 10_000)
    }
}

extension Collection<OrderLine> {
    /// The total of all lines.
    public var total: Money { reduce(.zero) { $0 + $1.total } }

    /// The number of items of each product in all lines.
    public var quantities: [String: Int] { reduce(into: [:]) { $0[$1.sku, default: 0] += $1.quantity } }
}

public import ShopEvents

/// A product and how many pieces of it there are.
public struct StockItem: Codable, Hashable, Sendable {
    /// The quantities that can be in stock.
    public static let quantities = 0...1_000_000_000

    /// The product.
    public let sku: String
    /// What people call it.
    public let name: String
    /// How many pieces there are.
    public let quantity: Int
    /// The price of one piece.
    public let unitPrice: Money

    /// A product; `nil` if the sku is empty or the quantity out of bounds.
    public init?(sku: String, name: String, quantity: Int, unitPrice: Money) {
        guard !sku.isEmpty, Self.quantities.contains(quantity) else { return nil }
        self.sku = sku
        self.name = name
        self.quantity = quantity
        self.unitPrice = unitPrice
    }

    /// Decodes a product and checks it.
    public init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        sku = try container.decode(String.self, forKey: .sku)
        name = try container.decode(String.self, forKey: .name)
        quantity = try container.decode(Int.self, forKey: .quantity)
        unitPrice = try container.decode(Money.self, forKey: .unitPrice)
        if sku.isEmpty {
            throw DecodingError.dataCorruptedError(forKey: .sku, in: container, debugDescription: "the sku is empty")
        }
        if !Self.quantities.contains(quantity) {
            throw DecodingError.dataCorruptedError(
                forKey: .quantity,
                in: container,
                debugDescription: "the quantity is \(quantity); it can be 0 to \(Self.quantities.upperBound)"
            )
        }
    }
}

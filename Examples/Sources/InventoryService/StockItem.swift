public import ShopEvents

/// A product and its number of items in stock.
public struct StockItem: Codable, Hashable, Sendable {
    /// The valid quantities in stock.
    public static let quantities = 0...1_000_000_000

    /// The product.
    public let sku: String
    /// The name for people.
    public let name: String
    /// The number of items in stock.
    public let quantity: Int
    /// The price of one item.
    public let unitPrice: Money

    /// Creates a product. Returns `nil` if the SKU is empty or the quantity is out of bounds.
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

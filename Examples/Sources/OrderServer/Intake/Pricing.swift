import EventBusServiceKit
import ShopData
import ShopEvents

/// The source of the prices of orders.
enum Pricing: Sendable {
    /// The clients, which have a catalog of their own, as a till does.
    case clients
    /// A list of prices by product. Clients may state the price that they expect, and get no discounts.
    case list([String: Money])

    /// A price that is not accepted.
    struct Refusal: Error, Hashable {
        /// The field of the order line.
        var field: String
        /// The problem with it.
        var problem: String
    }

    /// Reads a list of prices from a file with one product on each line.
    ///
    /// - Throws: `FileProblem` if the file cannot be read; `ServiceFailure` if a line is invalid or there are no
    ///   products.
    init(file: String) throws {
        let lines = try JSONLines<Line>(file: file, uniqueBy: ("sku", { $0.sku }))
        // An order at no price or at an old one is worse than no start.
        if let problem = lines.problems.first { throw ServiceFailure("prices.file: \(problem)") }
        guard !lines.values.isEmpty else { throw ServiceFailure("prices.file: \(file) lists no products") }
        self = .list(Dictionary(uniqueKeysWithValues: lines.values.map { ($0.sku, $0.unitPrice) }))
    }

    /// Returns the price of one item.
    ///
    /// - Parameters:
    ///   - sku: The product.
    ///   - expected: The price that the client states, or `nil`.
    ///   - discount: The discount that the client states.
    func price(of sku: String, expecting expected: Money?, discount: Discount) -> Result<Money, Refusal> {
        switch self {
        case .clients:
            guard let expected else {
                return .failure(Refusal(field: "unitPrice", problem: "is missing"))
            }
            return .success(expected)
        case .list(let prices):
            guard let price = prices[sku] else {
                return .failure(Refusal(field: "sku", problem: "is no product of the price list"))
            }
            if let expected, expected != price {
                return .failure(Refusal(field: "unitPrice", problem: "is \(expected), but the price is \(price)"))
            }
            guard discount == Discount.none else {
                return .failure(Refusal(field: "discount", problem: "cannot be chosen by clients; leave it out"))
            }
            return .success(price)
        }
    }

    /// A product and its price. Other fields, such as those of a stock file, are ignored.
    private struct Line: Decodable {
        var sku: String
        var unitPrice: Money

        private enum CodingKeys: String, CodingKey { case sku, unitPrice }

        init(from decoder: any Decoder) throws {
            let container = try decoder.container(keyedBy: CodingKeys.self)
            sku = try container.decode(String.self, forKey: .sku)
            unitPrice = try container.decode(Money.self, forKey: .unitPrice)
            guard FieldRules.sku(sku) != nil else {
                throw DecodingError.dataCorruptedError(forKey: .sku, in: container, debugDescription: "it is no sku")
            }
            guard OrderLine.unitPrices.contains(unitPrice) else {
                throw DecodingError.dataCorruptedError(
                    forKey: .unitPrice,
                    in: container,
                    debugDescription: "\(unitPrice) is not from 0 to \(OrderLine.unitPrices.upperBound)"
                )
            }
        }
    }
}

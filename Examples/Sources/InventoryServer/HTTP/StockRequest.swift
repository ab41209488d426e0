import EventBusServiceKit
import Hummingbird
import InventoryService
import ShopEvents
import TerminalText

/// The body of `PUT /stock/{sku}` as it was received.
struct StockRequest: Decodable, Sendable {
    /// The maximum length of a name, in Unicode scalars.
    static let maximumNameLength = 200
    /// The maximum number of digits of a price before its point.
    static let maximumPriceDigits = 6

    var quantity: Int
    var name: String?
    var unitPrice: String?

    private enum CodingKeys: String, CodingKey { case quantity, name, unitPrice }

    /// Decodes the fields. Their values are checked by ``change()``.
    init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        do {
            quantity = try container.decode(Int.self, forKey: .quantity)
        } catch let error where !(error is DecodingError) {
            // A fraction, or a number too large for an integer. The decoder only reports that the document is invalid.
            throw DecodingError.dataCorruptedError(
                forKey: .quantity,
                in: container,
                debugDescription: "has to be a whole number"
            )
        }
        name = try container.decodeIfPresent(String.self, forKey: .name)
        unitPrice = try container.decodeIfPresent(String.self, forKey: .unitPrice)
    }

    /// Returns the requested change.
    ///
    /// - Throws: `HTTPProblem` with all invalid fields.
    func change() throws -> StockChange {
        var problems: [HTTPProblem.FieldError] = []
        if !StockItem.quantities.contains(quantity) {
            let bounds = StockItem.quantities
            problems.append(
                .init(
                    field: "quantity",
                    problem: "is \(quantity); it has to be \(bounds.lowerBound) to \(bounds.upperBound)"
                )
            )
        }
        if let name, let problem = Self.problem(ofName: name) {
            problems.append(.init(field: "name", problem: problem))
        }
        let price = unitPrice.flatMap(Self.price)
        if unitPrice != nil, price == nil {
            problems.append(
                .init(
                    field: "unitPrice",
                    problem: "has to be an amount such as 14.00, with at most \(Self.maximumPriceDigits) digits before "
                        + "the point and two after it"
                )
            )
        }
        guard problems.isEmpty else {
            throw HTTPProblem(.badRequest, "The body is not valid", fields: problems)
        }
        return StockChange(quantity: quantity, name: name, unitPrice: price)
    }

    private static func price(_ text: String) -> Money? {
        let digits = text.utf8.prefix { $0 != UInt8(ascii: ".") }.count
        guard digits <= maximumPriceDigits, text.first != "-" else { return nil }
        return Money(text)
    }

    private static func problem(ofName name: String) -> String? {
        let length = name.unicodeScalars.count
        if !(1...maximumNameLength).contains(length) {
            return "has \(length) characters; it has to have 1 to \(maximumNameLength)"
        }
        // Pages and terminals show names, like the texts of orders.
        if name.unicodeScalars.contains(where: \.isUnprintable) {
            return "has control characters, which a name cannot have"
        }
        return nil
    }
}

import EventBusServiceKit
import HTTPTypes
import OrderService
import ShopEvents

/// The body of a request that places an order: its content, or all problems with it.
///
/// Decoding never fails, whatever the JSON contains.
struct OrderForm: Decodable, Sendable {
    /// The allowed lengths of a customer's id and a country, in characters.
    static let textLengths = ShopRules.textLengths
    /// The allowed numbers of lines in an order.
    static let lineCounts = 1...Order.maximumLines

    /// The customer, or `nil` if there is a problem with it.
    private let customerID: String?
    /// The country, or `nil` if there is a problem with it.
    private let shipCountry: String?
    /// The lines, or `nil` if there is a problem with the array.
    private let lines: [LineForm]?
    /// The problems of the fields.
    private let problems: [HTTPProblem.FieldError]

    init(from decoder: any Decoder) {
        var reader = FieldReader(decoder, of: "an order", fields: ["customerID", "items", "shipCountry"])
        let text = "a text of 1 to \(Self.textLengths.upperBound) characters without control characters"
        customerID = reader.read("customerID", text, FieldRules.text)
        shipCountry = reader.read("shipCountry", text, FieldRules.text)
        lines = reader.readArray(
            "items",
            of: LineForm.self,
            counts: Self.lineCounts,
            "an array of 1 to \(Self.lineCounts.upperBound) order lines"
        )
        reader.note((lines ?? []).flatMap(\.problems))
        problems = reader.problems
    }

    /// Returns the draft, with the prices of `pricing`.
    ///
    /// - Throws: `HTTPProblem` 400, which names all invalid fields, up to a reasonable number.
    func checked(_ pricing: Pricing) throws(HTTPProblem) -> OrderDraft {
        var problems = problems
        var items: [OrderLine] = []
        for (index, line) in (lines ?? []).enumerated() {
            switch line.priced(pricing) {
            case .success(let item)?: items.append(item)
            case .failure(let refusal)?:
                problems.append(.init(field: "items[\(index)].\(refusal.field)", problem: refusal.problem))
            case nil: break
            }
        }
        if problems.isEmpty, let customerID, let shipCountry,
            let draft = OrderDraft(customerID: customerID, shipCountry: shipCountry, items: items)
        {
            return draft
        }
        let shown = problems.prefix(50)
        let rest = shown.count < problems.count ? ", of which the first \(shown.count) are listed" : ""
        throw HTTPProblem(
            .badRequest,
            "The order is not valid",
            detail: problems.count == 1
                ? "One field is wrong; correct it and send the order again."
                : "\(problems.count) fields are wrong\(rest); correct them and send the order again.",
            fields: Array(shown)
        )
    }
}

/// A line of an order as sent by a client.
private struct LineForm: Decodable {
    private static let priceRule =
        "an amount such as \"14.00\", from 0 to \(OrderLine.unitPrices.upperBound), as a string"

    let sku: String?
    let quantity: Int?
    /// The price that the client states, or `nil` if it is missing or invalid.
    let unitPrice: Money?
    let isPriceMissing: Bool
    let discount: Discount?
    let problems: [HTTPProblem.FieldError]

    init(from decoder: any Decoder) {
        var reader = FieldReader(decoder, of: "an order line", fields: ["discount", "quantity", "sku", "unitPrice"])
        sku = reader.read(
            "sku",
            "1 to \(FieldRules.skuLengths.upperBound) letters, digits, '.', '_' or '-'",
            FieldRules.sku
        )
        let quantities = OrderLine.quantities
        quantity = reader.read("quantity", "a whole number from 1 to \(quantities.upperBound)") { (number: Int) in
            quantities.contains(number) ? number : nil
        }
        isPriceMissing = reader.isObject && !reader.has("unitPrice")
        unitPrice = reader.has("unitPrice") ? reader.read("unitPrice", Self.priceRule, FieldRules.price) : nil
        discount =
            reader.has("discount")
            ? reader.read(
                "discount",
                "a part of the price such as \"0.15\", from 0 to 1, as a string",
                FieldRules.discount
            ) : nil
        problems = reader.problems
    }

    /// Returns the line with its price. Returns `nil` if another field is invalid.
    func priced(_ pricing: Pricing) -> Result<OrderLine, Pricing.Refusal>? {
        if isPriceMissing, case .clients = pricing {
            return .failure(Pricing.Refusal(field: "unitPrice", problem: "is missing; it has to be \(Self.priceRule)"))
        }
        guard problems.isEmpty, let sku, let quantity else { return nil }
        let discount = discount ?? Discount.none
        switch pricing.price(of: sku, expecting: unitPrice, discount: discount) {
        case .failure(let refusal):
            return .failure(refusal)
        case .success(let price):
            guard let line = OrderLine(sku: sku, quantity: quantity, unitPrice: price, discount: discount) else {
                return .failure(Pricing.Refusal(field: "unitPrice", problem: "has to be \(Self.priceRule)"))
            }
            return .success(line)
        }
    }
}

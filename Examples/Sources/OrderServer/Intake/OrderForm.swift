import HTTPTypes
import OrderService
import ServiceKit
import ShopEvents

/// The body of a request that places an order: a draft, or all problems with it.
///
/// Decoding never fails, whatever the JSON contains.
struct OrderForm: Decodable, Sendable {
    /// The allowed lengths of a customer's id and a country, in characters.
    static let textLengths = 1...100
    /// The allowed numbers of lines in an order.
    static let lineCounts = 1...Order.maximumLines

    /// The draft, or `nil` if there are problems.
    let draft: OrderDraft?
    /// The problems of the fields.
    let problems: [HTTPProblem.FieldError]

    init(from decoder: any Decoder) {
        var reader = FieldReader(decoder, of: "an order", fields: ["customerID", "items", "shipCountry"])
        let text = "a text of 1 to \(Self.textLengths.upperBound) characters without control characters"
        let customerID = reader.read("customerID", text, FieldRules.text)
        let shipCountry = reader.read("shipCountry", text, FieldRules.text)
        let lines = reader.readArray(
            "items",
            of: LineForm.self,
            counts: Self.lineCounts,
            "an array of 1 to \(Self.lineCounts.upperBound) order lines"
        )
        reader.note((lines ?? []).flatMap(\.problems))
        problems = reader.problems
        if problems.isEmpty, let customerID, let shipCountry, let lines {
            draft = OrderDraft(customerID: customerID, shipCountry: shipCountry, items: lines.compactMap(\.line))
        } else {
            draft = nil
        }
    }

    /// Returns the draft.
    ///
    /// - Throws: `HTTPProblem` 400, which names all invalid fields, up to a reasonable number.
    func checked() throws(HTTPProblem) -> OrderDraft {
        if let draft { return draft }
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
    let line: OrderLine?
    let problems: [HTTPProblem.FieldError]

    init(from decoder: any Decoder) {
        var reader = FieldReader(decoder, of: "an order line", fields: ["discount", "quantity", "sku", "unitPrice"])
        let sku = reader.read(
            "sku",
            "1 to \(FieldRules.skuLengths.upperBound) letters, digits, '.', '_' or '-'",
            FieldRules.sku
        )
        let quantities = OrderLine.quantities
        let quantity = reader.read("quantity", "a whole number from 1 to \(quantities.upperBound)") { (number: Int) in
            quantities.contains(number) ? number : nil
        }
        let unitPrice = reader.read(
            "unitPrice",
            "an amount such as \"14.00\", from 0 to \(OrderLine.unitPrices.upperBound), as a string",
            FieldRules.price
        )
        let discount =
            reader.has("discount")
            ? reader.read(
                "discount",
                "a part of the price such as \"0.15\", from 0 to 1, as a string",
                FieldRules.discount
            )
            : Discount.none
        problems = reader.problems
        if let sku, let quantity, let unitPrice, let discount {
            line = OrderLine(sku: sku, quantity: quantity, unitPrice: unitPrice, discount: discount)
        } else {
            line = nil
        }
    }
}

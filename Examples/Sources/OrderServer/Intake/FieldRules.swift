import ShopEvents

/// What the fields of an order can be. The patterns are the same rules for those who read the API's description.
enum FieldRules {
    /// How many characters a sku can have.
    static let skuLengths = 1...64
    /// See ``sku(_:)``.
    static let skuPattern = "^[A-Za-z0-9._-]{1,64}$"
    /// See ``text(_:)``.
    static let textPattern = #"^[^\u0000-\u001F\u007F-\u009F]+$"#
    /// See ``price(_:)``.
    static let pricePattern = #"^(0?[0-9]{1,6}(\.[0-9]{1,2})?|1000000(\.0{1,2})?)$"#
    /// The form of an order's number; see ``OrderID``.
    static let idPattern = "^[!-~]{1,100}$"
    /// See ``discount(_:)``.
    static let discountPattern = #"^(0(\.[0-9]{1,4})?|1(\.0{1,4})?)$"#

    /// A text that a person reads; without control characters, which would end or garble it elsewhere.
    static func text(_ text: String) -> String? {
        let scalars = text.unicodeScalars
        guard OrderForm.textLengths.contains(scalars.count),
            scalars.allSatisfy({ $0.properties.generalCategory != .control })
        else { return nil }
        return text
    }

    /// A product's number, which can stand in a path, a lock's name and a key as it is.
    static func sku(_ text: String) -> String? {
        guard skuLengths.contains(text.utf8.count),
            text.utf8.allSatisfy({ byte in
                switch byte {
                case UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "a")...UInt8(ascii: "z"),
                    UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "."), UInt8(ascii: "_"), UInt8(ascii: "-"):
                    true
                default: false
                }
            })
        else { return nil }
        return text
    }

    /// The price of one piece: up to seven digits, and two after the point.
    static func price(_ text: String) -> Money? {
        guard wholeDigits(of: text) <= 7, let price = Money(text), OrderLine.unitPrices.contains(price) else {
            return nil
        }
        return price
    }

    /// The part of the price that is not paid: one digit, and four after the point.
    static func discount(_ text: String) -> Discount? {
        wholeDigits(of: text) == 1 ? Discount(text) : nil
    }

    /// How many characters stand before the point; more than anything allows if the first is a sign.
    private static func wholeDigits(of text: String) -> Int {
        text.utf8.first == UInt8(ascii: "-") ? .max : text.utf8.prefix { $0 != UInt8(ascii: ".") }.count
    }
}

import ShopEvents

/// The rules for the fields of an order. The patterns express the same rules in the API's description.
enum FieldRules {
    /// The allowed lengths of a SKU, in characters.
    static let skuLengths = ShopRules.skuLengths
    /// The pattern of ``sku(_:)``.
    static let skuPattern = "^[A-Za-z0-9._-]{1,64}$"
    /// The pattern of ``text(_:)``.
    static let textPattern = #"^[^\u0000-\u001F\u007F-\u009F]+$"#
    /// The pattern of ``price(_:)``.
    static let pricePattern = #"^(0?[0-9]{1,6}(\.[0-9]{1,2})?|1000000(\.0{1,2})?)$"#
    /// The pattern of an order's number. See ``OrderID``.
    static let idPattern = "^[!-~]{1,100}$"
    /// The pattern of ``discount(_:)``.
    static let discountPattern = #"^(0(\.[0-9]{1,4})?|1(\.0{1,4})?)$"#

    /// Returns a text for people without control characters, which would end or garble it elsewhere.
    static func text(_ text: String) -> String? { ShopRules.isText(text) ? text : nil }

    /// Returns a product's number, which can be used in a path, a lock's name and a key without encoding.
    static func sku(_ text: String) -> String? { ShopRules.isSKU(text) ? text : nil }

    /// Returns the price of one item, with up to seven digits before the point and two after it.
    static func price(_ text: String) -> Money? {
        guard wholeDigits(of: text) <= 7, let price = Money(text), OrderLine.unitPrices.contains(price) else {
            return nil
        }
        return price
    }

    /// Returns the discounted fraction of a price, with one digit before the point and four after it.
    static func discount(_ text: String) -> Discount? {
        wholeDigits(of: text) == 1 ? Discount(text) : nil
    }

    /// Returns the number of characters before the point, or more than any rule allows if the first one is a sign.
    private static func wholeDigits(of text: String) -> Int {
        text.utf8.first == UInt8(ascii: "-") ? .max : text.utf8.prefix { $0 != UInt8(ascii: ".") }.count
    }
}

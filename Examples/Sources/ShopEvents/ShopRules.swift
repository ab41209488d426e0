import TerminalText

/// The rules for the fields of orders. They are the same in HTTP requests, files and events, because whoever may publish
/// an event can send anything.
public enum ShopRules {
    /// The maximum length of an order's number, in bytes.
    public static let maximumIDLength = 100
    /// The allowed lengths of a text for people, in Unicode scalars.
    public static let textLengths = 1...100
    /// The allowed lengths of a SKU, in bytes.
    public static let skuLengths = 1...64
    /// The maximum number of lines of an order, and of products in an event.
    public static let maximumLines = 1_000

    /// Returns a Boolean value indicating whether `text` is a valid order number: printable ASCII without spaces.
    public static func isOrderID(_ text: String) -> Bool {
        (1...maximumIDLength).contains(text.utf8.count) && text.utf8.allSatisfy { (0x21...0x7E).contains($0) }
    }

    /// Returns a Boolean value indicating whether `text` is valid as the id of a customer or the name of a country: a
    /// text without control characters, line separators and characters that change the direction of others, which would end
    /// or garble it elsewhere.
    public static func isText(_ text: String) -> Bool {
        // The bytes first, because a text of any size may have been received.
        text.utf8.count <= 4 * textLengths.upperBound && textLengths.contains(text.unicodeScalars.count)
            && text.unicodeScalars.allSatisfy { !$0.isUnprintable }
    }

    /// Returns a Boolean value indicating whether `text` is a valid product number, which can be used in a path, a
    /// lock's name and a key without encoding.
    public static func isSKU(_ text: String) -> Bool {
        skuLengths.contains(text.utf8.count)
            && text.utf8.allSatisfy { byte in
                switch byte {
                case UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "a")...UInt8(ascii: "z"),
                    UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "."), UInt8(ascii: "_"), UInt8(ascii: "-"):
                    true
                default: false
                }
            }
    }
}

extension KeyedDecodingContainer {
    /// Decodes a text that a rule accepts.
    ///
    /// - Throws: `DecodingError`, which quotes the beginning of the text.
    func decodeText(forKey key: Key, _ rule: (String) -> Bool) throws -> String {
        let text = try decode(String.self, forKey: key)
        guard rule(text) else {
            throw DecodingError.dataCorruptedError(
                forKey: key,
                in: self,
                debugDescription: "\"\(text.cut(toUTF8Length: 50).printable)\" is not valid"
            )
        }
        return text
    }

    /// Decodes the numbers of products.
    func decodeSKUs(forKey key: Key) throws -> [String] {
        let skus = try decode([String].self, forKey: key)
        guard skus.count <= ShopRules.maximumLines, skus.allSatisfy(ShopRules.isSKU) else {
            throw DecodingError.dataCorruptedError(forKey: key, in: self, debugDescription: "the skus are not valid")
        }
        return skus
    }
}

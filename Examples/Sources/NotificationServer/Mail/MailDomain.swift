/// What stands behind the `@` of an address.
struct MailDomain: Hashable, Sendable, CustomStringConvertible {
    /// The most bytes that a domain can have here: an address has to fit on a line.
    static let maximumLength = 200

    /// The domain as it is written.
    let description: String

    /// The domain that `text` is, such as `shop.example`; `nil` if it is none.
    init?(_ text: String) {
        let labels = text.utf8.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
        let isDomain = labels.allSatisfy { label in
            (1...63).contains(label.count) && label.first != UInt8(ascii: "-") && label.last != UInt8(ascii: "-")
                && label.allSatisfy { $0.isASCIIAlphanumeric || $0 == UInt8(ascii: "-") }
        }
        guard isDomain, text.utf8.count <= Self.maximumLength else { return nil }
        description = text
    }
}

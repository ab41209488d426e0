/// The part of an address after the `@`.
struct MailDomain: Hashable, Sendable, CustomStringConvertible {
    /// The maximum length of a domain in bytes, so that an address fits on a line.
    static let maximumLength = 200

    /// The domain in its written form.
    let description: String

    /// Creates a domain from `text`, such as `shop.example`. Returns `nil` if it is invalid.
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

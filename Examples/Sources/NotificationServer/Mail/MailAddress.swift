import EventBus

/// An e-mail address, such as `orders@shop.example`.
struct MailAddress: Hashable, Sendable, CustomStringConvertible {
    /// The part before the `@`.
    let name: String
    /// The part after the `@`.
    let domain: MailDomain

    /// The address in its written form.
    var description: String { "\(name)@\(domain)" }

    /// Creates an address from `text`. Returns `nil` if it is invalid or would need quotes.
    init?(_ text: String) {
        let parts = text.split(separator: "@", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
        guard parts.count == 2, parts[0].utf8.count <= 64, AtomText.isDotAtom(parts[0]),
            let domain = MailDomain(parts[1])
        else { return nil }
        self.name = parts[0]
        self.domain = domain
    }

    /// Creates the address of a customer at the shop's own domain. In a real shop, it would come from the customer's
    /// account.
    ///
    /// - Throws: ``UnaddressableCustomer`` if the id is empty, or too long for a line.
    init(customerID: String, domain: MailDomain) throws(UnaddressableCustomer) {
        name = AtomText.escaped(customerID)
        self.domain = domain
        guard (1...700).contains(name.utf8.count) else { throw UnaddressableCustomer(customerID: customerID) }
    }
}

/// The error for a customer id that cannot become an address. A retry does not help.
struct UnaddressableCustomer: Error, NonRetryable, Hashable, CustomStringConvertible {
    var customerID: String

    var description: String {
        "no address can be made of a customer id with \(customerID.utf8.count) bytes; it needs 1, and about 200 at most"
    }
}

import EventBus

/// An e-mail address, such as `orders@shop.example`.
struct MailAddress: Hashable, Sendable, CustomStringConvertible {
    /// What stands before the `@`.
    let name: String
    /// What stands behind it.
    let domain: MailDomain

    /// The address as it is written.
    var description: String { "\(name)@\(domain)" }

    /// The address that `text` is; `nil` if it is none, or one that needs quotes.
    init?(_ text: String) {
        let parts = text.split(separator: "@", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
        guard parts.count == 2, parts[0].utf8.count <= 64, AtomText.isDotAtom(parts[0]),
            let domain = MailDomain(parts[1])
        else { return nil }
        self.name = parts[0]
        self.domain = domain
    }

    /// The address of a customer at the shop's own domain: in a real shop it would come from the customer's account.
    ///
    /// - Throws: ``UnaddressableCustomer`` if the id is empty, or so long that it does not fit on a line.
    init(customerID: String, domain: MailDomain) throws(UnaddressableCustomer) {
        name = AtomText.escaped(customerID)
        self.domain = domain
        guard (1...700).contains(name.utf8.count) else { throw UnaddressableCustomer(customerID: customerID) }
    }
}

/// A customer has an id of which no address can be made: trying again does not help.
struct UnaddressableCustomer: Error, NonRetryable, Hashable, CustomStringConvertible {
    var customerID: String

    var description: String {
        "no address can be made of a customer id with \(customerID.utf8.count) bytes; it needs 1, and about 200 at most"
    }
}

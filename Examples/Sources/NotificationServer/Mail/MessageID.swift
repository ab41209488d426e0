import EventBus

/// The identity of a message, by which a duplicate is recognized.
struct MessageID: Hashable, Sendable, CustomStringConvertible {
    /// The id in the format of the header, with angle brackets.
    let description: String

    /// Creates the id of the message about an event: `<order.confirmed=3A10248@shop.example>`. Different events have
    /// different ids, and one event always has the same one.
    init(_ eventID: EventID, domain: MailDomain) {
        description = "<\(AtomText.escaped(eventID.rawValue))@\(domain)>"
    }

    /// Creates the id from the text of a header.
    init(header text: String) {
        description = text
    }
}

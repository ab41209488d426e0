import EventBus

/// What tells a message from every other one, and knows it again if it is sent twice.
struct MessageID: Hashable, Sendable, CustomStringConvertible {
    /// The id as it stands in the header, with its angle brackets.
    let description: String

    /// The id of the message that tells of an event: `<order.confirmed=3A10248@shop.example>`. Different events have
    /// different ids, and one event has always the same.
    init(_ eventID: EventID, domain: MailDomain) {
        description = "<\(AtomText.escaped(eventID.rawValue))@\(domain)>"
    }

    /// The id as it was read from a header.
    init(header text: String) {
        description = text
    }
}

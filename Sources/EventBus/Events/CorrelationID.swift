/// What ties everything together that one cause set off: an HTTP request, a job, the first event of a chain.
///
/// Everything published inside a handler carries the handled event's correlation id. Where nothing is correlated yet,
/// an event begins a chain of its own: its correlation id is its own ``EventID``.
///
/// An empty id, or one of nothing but white space, means none: ``PublishOptions`` and ``Envelope`` hold `nil` in its
/// place, so that it never joins events that have nothing to do with each other.
public struct CorrelationID: Hashable, Sendable {
    private let id: EventID

    /// Takes an identifier from elsewhere, such as a request's header, as it is.
    public init(_ text: String) {
        self.id = EventID(text)
    }

    /// The chain that the event with this identifier begins.
    public init(_ id: EventID) {
        self.id = id
    }

    /// The identifier as it stands on the wire.
    public var rawValue: String { id.rawValue }

    package var wireLength: Int { id.wireLength }

    /// Whether it means that there is none.
    var isBlank: Bool { id.isBlank }
}

extension CorrelationID: ExpressibleByStringLiteral {
    /// Takes the identifier from a literal, as it is.
    public init(stringLiteral value: String) {
        self.init(value)
    }
}

extension CorrelationID: CustomStringConvertible {
    /// The identifier for a person to read; the same as ``rawValue`` unless that is very long or holds control
    /// characters.
    public var description: String { id.description }
}

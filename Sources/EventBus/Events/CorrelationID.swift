/// An identifier that connects all events with one cause, such as an HTTP request, a job, or the first event of a
/// chain.
///
/// ```swift
/// let options = PublishOptions(correlationID: CorrelationID(requestID))
/// try await bus.publish(OrderCreated(orderID: "42"), options: options)
/// ```
///
/// Every event that a handler publishes has the handled event's correlation id. An event without a cause starts a new
/// chain: its correlation id is its own ``EventID``.
///
/// An empty or blank id means none: ``PublishOptions`` and ``Envelope`` store `nil` instead, so that it never connects
/// unrelated events.
public struct CorrelationID: Hashable, Sendable {
    private let id: EventID

    /// Creates an identifier from text of another origin, such as a request's header, without changing it.
    public init(_ text: String) {
        self.id = EventID(text)
    }

    /// Creates the identifier of the chain that starts with the event with this identifier.
    public init(_ id: EventID) {
        self.id = id
    }

    /// The identifier in its wire format.
    public var rawValue: String { id.rawValue }

    package var wireLength: Int { id.wireLength }

    /// The identifier in a form that every transport and store accepts, see ``EventID/portable``.
    package var portable: CorrelationID { CorrelationID(id.portable) }

    /// A Boolean value indicating whether the identifier is empty or blank, which means none.
    var isBlank: Bool { id.isBlank }
}

extension CorrelationID: ExpressibleByStringLiteral {
    /// Creates an identifier from a literal, without changing it.
    public init(stringLiteral value: String) {
        self.init(value)
    }
}

extension CorrelationID: CustomStringConvertible {
    /// The identifier for people to read. It equals ``rawValue`` except for a very long identifier or one with control
    /// characters.
    public var description: String { id.description }
}

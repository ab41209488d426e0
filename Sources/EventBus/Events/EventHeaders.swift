/// The headers that accompany an event's payload, by name.
///
/// ```swift
/// try await bus.publish(order, options: .init(headers: ["tenant": "acme", "priority": 3]))
/// ```
///
/// Names are case-sensitive, compared byte by byte, and at most ``maximumNameLength`` bytes long. Names that begin with `x-eventbus-` are
/// reserved for the bus, and those in ``EventHeaders/reservedNames`` for fields of the envelope. Neither can be set
/// when publishing.
public struct EventHeaders: Hashable, Sendable {
    /// The maximum length of a header's name, in UTF-8 bytes. AMQP allows 255, and brokers reserve a part of it.
    public static let maximumNameLength = 128

    /// The prefix of the bus's internal headers.
    package static let internalPrefix = "x-eventbus-"

    /// The names that are reserved for fields of the envelope and for the broker.
    public static let reservedNames: Set<String> = [
        "causation-id", "event-version", "event-time", "partition-key",
        // The broker's own headers. It acts on them (extra copies) or writes them.
        "CC", "BCC", "x-death", "x-delivery-count", "x-first-death-exchange", "x-first-death-queue",
        "x-first-death-reason", "x-last-death-exchange", "x-last-death-queue", "x-last-death-reason",
    ]

    /// The header values by name.
    public var values: HeaderTable

    /// Creates headers with these values.
    public init(_ values: HeaderTable = [:]) {
        self.values = values
    }

    /// Creates headers with these values.
    public init(_ values: [String: HeaderValue]) {
        self.values = HeaderTable(values)
    }

    /// A Boolean value indicating whether there are no headers.
    public var isEmpty: Bool { values.isEmpty }

    /// The header named `name`. Assigning `nil` removes it.
    public subscript(name: String) -> HeaderValue? {
        get { values[name] }
        set { values[name] = newValue }
    }

    /// A description of the reason why these headers are invalid, or `nil` if they are valid.
    var problem: String? {
        for (name, value) in values {
            if name.isEmpty { return "a header has an empty name" }
            if name.utf8.count > Self.maximumNameLength {
                return "the name of header \(name.quotedForError) has \(name.utf8.count) bytes, "
                    + "\(Self.maximumNameLength) are allowed"
            }
            if name.beginsWithBytes(of: Self.internalPrefix) || Self.reservedNames.contains(name) {
                return "the header name \(name.quotedForError) is reserved for the bus or the broker"
            }
            if let problem = value.problem() { return "header \(name.quotedForError) \(problem)" }
        }
        return nil
    }
}

extension EventHeaders: ExpressibleByDictionaryLiteral {
    /// Creates headers with these values. If a name occurs twice, the later value counts.
    public init(dictionaryLiteral elements: (String, HeaderValue)...) {
        self.init(HeaderTable(minimumCapacity: elements.count))
        for (name, value) in elements { values[name] = value }
    }
}

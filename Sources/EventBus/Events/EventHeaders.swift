/// Names and values that travel beside an event's payload.
///
/// Names are case-sensitive and at most ``maximumNameLength`` bytes long. Those that begin with `x-eventbus-` belong to
/// the bus, and the names in ``EventHeaders/reservedNames`` are how the envelope's own fields travel: neither can be
/// set on publishing.
public struct EventHeaders: Hashable, Sendable {
    /// The longest name of a header, in UTF-8 bytes. AMQP allows 255; brokers reserve some of it.
    public static let maximumNameLength = 128

    /// The prefix of the bus's own bookkeeping.
    package static let internalPrefix = "x-eventbus-"

    /// The names under which fields of the envelope travel.
    public static let reservedNames: Set<String> = [
        "causation-id", "event-version", "event-time", "partition-key",
        // The broker's own: it acts on these (extra copies) or writes them.
        "CC", "BCC", "x-death", "x-delivery-count", "x-first-death-exchange", "x-first-death-queue",
        "x-first-death-reason", "x-last-death-exchange", "x-last-death-queue", "x-last-death-reason",
    ]

    /// The headers by name.
    public var values: [String: HeaderValue]

    /// Headers with these values.
    public init(_ values: [String: HeaderValue] = [:]) {
        self.values = values
    }

    /// Whether there is no header.
    public var isEmpty: Bool { values.isEmpty }

    /// The header called `name`; assigning `nil` removes it.
    public subscript(name: String) -> HeaderValue? {
        get { values[name] }
        set { values[name] = newValue }
    }

    /// What makes these headers illegal, or `nil`.
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
    /// Headers with these values; of two with one name the later counts.
    public init(dictionaryLiteral elements: (String, HeaderValue)...) {
        self.init(Dictionary(elements, uniquingKeysWith: { $1 }))
    }
}

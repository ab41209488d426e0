/// The identity of an event: a time-ordered UUID (version 7), or any text that a foreign client used.
///
/// ```swift
/// let options = PublishOptions(id: EventID())
/// try await bus.publish(OrderCreated(orderID: "42"), options: options)  // May be repeated with the same options.
/// ```
///
/// Identifiers of this process are strictly increasing (RFC 9562, section 6.2, method 2: a random part that is reseeded
/// every millisecond and incremented within it). An identifier that was received keeps its exact text, and is compared
/// byte by byte.
public struct EventID: Hashable, Sendable {
    private enum Storage: Hashable, Sendable {
        case uuid(UInt64, UInt64)
        case text(ExactString)
    }

    /// The maximum length of an identifier, in UTF-8 bytes, which is AMQP's limit for a short string.
    public static let maximumLength = 255

    private let storage: Storage

    private init(_ storage: Storage) {
        self.storage = storage
    }

    /// Creates a new identifier, later than all identifiers created before in this process.
    public init() {
        self.init(at: .now())
    }

    /// Creates a new identifier for an event of this time, which must be the current time.
    init(at time: EventTime) {
        let (high, low) = UUIDv7Generator.shared.next(at: time)
        self.init(.uuid(high, low))
    }

    /// Creates a UUID from its two halves, most significant first.
    init(high: UInt64, low: UInt64) {
        self.init(.uuid(high, low))
    }

    /// Creates an identifier from received text, without changing it.
    public init(_ text: String) {
        if let (high, low) = UUIDText.parse(text) {
            self.init(.uuid(high, low))
        } else {
            self.init(.text(ExactText(text)))
        }
    }

    /// The identifier in its wire format. For a UUID these are 36 lowercase characters.
    public var rawValue: String {
        switch storage {
        case .uuid(let high, let low): UUIDText.format(high, low)
        case .text(let exact): exact.text
        }
    }

    /// The two halves of a UUID, most significant first, or `nil` for a foreign identifier.
    package var uuid: (UInt64, UInt64)? {
        if case .uuid(let high, let low) = storage { (high, low) } else { nil }
    }

    /// A Boolean value indicating whether the identifier is empty or contains only white space and control characters.
    package var isBlank: Bool {
        if case .text(let exact) = storage { exact.text.utf8.allSatisfy { $0 <= 0x20 } } else { false }
    }

    /// The length on the wire in UTF-8 bytes.
    package var wireLength: Int {
        if case .text(let exact) = storage { exact.text.utf8.count } else { 36 }
    }
}

extension EventID: ExpressibleByStringLiteral {
    /// Creates an identifier from a literal, without changing it.
    public init(stringLiteral value: String) {
        self.init(value)
    }
}

extension EventID: CustomStringConvertible {
    /// The identifier for people to read. It equals ``rawValue`` except for a very long identifier or one with control
    /// characters.
    public var description: String {
        switch storage {
        case .uuid: rawValue
        case .text(let exact): exact.text.prefixed(toUTF8Length: Self.maximumLength).printable
        }
    }
}

extension EventID: Codable {
    /// Decodes an identifier from a single string.
    public init(from decoder: any Decoder) throws {
        self.init(try decoder.singleValueContainer().decode(String.self))
    }

    /// Encodes the identifier as a single string.
    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(rawValue)
    }
}

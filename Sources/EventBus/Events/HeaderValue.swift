/// A value in an event's headers: the kinds that every AMQP 0-9-1 client understands.
public enum HeaderValue: Hashable, Sendable {
    /// Text in UTF-8.
    case string(String)
    /// A signed whole number.
    case int(Int64)
    /// A floating point number.
    case double(Double)
    /// True or false.
    case bool(Bool)
    /// Bytes without further meaning.
    case bytes([UInt8])
    /// A point in time, in whole seconds since 1970: AMQP knows nothing finer.
    case timestamp(seconds: Int64)
    /// A list of values.
    case array([HeaderValue])
    /// Values by name.
    case table([String: HeaderValue])
    /// No value.
    case null

    /// The deepest nesting of arrays and tables that an event may carry: native readers recurse on the stack.
    public static let maximumDepth = 32

    /// The text, if the value is text.
    public var string: String? {
        if case .string(let value) = self { value } else { nil }
    }

    /// The number, if the value is a whole number.
    public var int: Int64? {
        if case .int(let value) = self { value } else { nil }
    }

    /// The length in bytes of the longest name in a table, at whatever depth; `nil` if there is none.
    var longestName: Int? {
        switch self {
        case .array(let values): values.lazy.compactMap(\.longestName).max()
        case .table(let values): values.lazy.map { max($0.key.utf8.count, $0.value.longestName ?? 0) }.max()
        default: nil
        }
    }

    /// How deep arrays and tables nest; a plain value has depth 0.
    var depth: Int {
        switch self {
        case .array(let values): 1 + (values.lazy.map(\.depth).max() ?? 0)
        case .table(let values): 1 + (values.values.lazy.map(\.depth).max() ?? 0)
        default: 0
        }
    }
}

extension HeaderValue: ExpressibleByStringLiteral, ExpressibleByIntegerLiteral, ExpressibleByFloatLiteral,
    ExpressibleByBooleanLiteral, ExpressibleByArrayLiteral, ExpressibleByDictionaryLiteral, ExpressibleByNilLiteral
{
    /// A text value.
    public init(stringLiteral value: String) { self = .string(value) }
    /// A whole number.
    public init(integerLiteral value: Int64) { self = .int(value) }
    /// A floating point number.
    public init(floatLiteral value: Double) { self = .double(value) }
    /// True or false.
    public init(booleanLiteral value: Bool) { self = .bool(value) }
    /// A list of values.
    public init(arrayLiteral elements: HeaderValue...) { self = .array(elements) }
    /// Values by name; of two with one name the later counts.
    public init(dictionaryLiteral elements: (String, HeaderValue)...) {
        self = .table(Dictionary(elements, uniquingKeysWith: { $1 }))
    }
    /// No value.
    public init(nilLiteral: ()) { self = .null }
}

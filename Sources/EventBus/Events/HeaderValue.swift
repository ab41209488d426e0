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

    /// What keeps the value from travelling, or `nil`. It looks no deeper than ``maximumDepth``.
    func problem(depth: Int = 0) -> String? {
        switch self {
        case .string, .int, .bool, .bytes, .timestamp, .null:
            return nil
        case .double(let number):
            // JSON has no such number, and the broker closes the connection over it.
            return number.isFinite ? nil : "holds the number \(number); only finite numbers can be sent"
        case .array(let values):
            guard depth < Self.maximumDepth else { return Self.tooDeep }
            // No lazy chain: it evaluates each element several times, which multiplies with every level.
            for value in values {
                if let problem = value.problem(depth: depth + 1) { return problem }
            }
            return nil
        case .table(let values):
            guard depth < Self.maximumDepth else { return Self.tooDeep }
            for (name, value) in values {
                if name.utf8.count > EventHeaders.maximumNameLength {
                    return "holds a table with a name of \(name.utf8.count) bytes, "
                        + "\(EventHeaders.maximumNameLength) are allowed"
                }
                if let problem = value.problem(depth: depth + 1) { return problem }
            }
            return nil
        }
    }

    private static let tooDeep = "nests arrays and tables more than \(maximumDepth) deep"
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

/// A value of an event's header. Its kinds are those that every AMQP 0-9-1 client supports.
///
/// Literals are header values:
///
/// ```swift
/// let headers: EventHeaders = ["tenant": "acme", "retries": 3, "sampled": true]
/// ```
public enum HeaderValue: Hashable, Sendable {
    /// A text in UTF-8.
    case string(String)
    /// A signed integer.
    case int(Int64)
    /// A floating-point number.
    case double(Double)
    /// A Boolean value.
    case bool(Bool)
    /// Arbitrary bytes.
    case bytes([UInt8])
    /// A point in time, in whole seconds since 1970, which is AMQP's resolution.
    case timestamp(seconds: Int64)
    /// A list of values.
    case array([HeaderValue])
    /// A table of values by name.
    case table(HeaderTable)
    /// No value.
    case null

    /// The maximum nesting depth of arrays and tables, because readers in C recurse on the stack.
    public static let maximumDepth = 32

    /// The text, or `nil` if the value is not a text.
    public var string: String? {
        if case .string(let value) = self { value } else { nil }
    }

    /// The integer, or `nil` if the value is not an integer.
    public var int: Int64? {
        if case .int(let value) = self { value } else { nil }
    }

    /// Returns the reason why the value cannot be sent, or `nil`. It checks no deeper than ``maximumDepth``.
    func problem(depth: Int = 0) -> String? {
        switch self {
        case .string, .int, .bool, .bytes, .timestamp, .null:
            return nil
        case .double(let number):
            // JSON has no such number, and the broker closes the connection because of it.
            return number.isFinite ? nil : "holds the number \(number); only finite numbers can be sent"
        case .array(let values):
            guard depth < Self.maximumDepth else { return Self.tooDeep }
            // Not a lazy chain, which would evaluate each element several times and multiply that with every level.
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
    /// Creates a text value.
    public init(stringLiteral value: String) { self = .string(value) }
    /// Creates an integer value.
    public init(integerLiteral value: Int64) { self = .int(value) }
    /// Creates a floating-point value.
    public init(floatLiteral value: Double) { self = .double(value) }
    /// Creates a Boolean value.
    public init(booleanLiteral value: Bool) { self = .bool(value) }
    /// Creates a list of values.
    public init(arrayLiteral elements: HeaderValue...) { self = .array(elements) }
    /// Creates a table of values by name. If a name occurs twice, the later value counts.
    public init(dictionaryLiteral elements: (String, HeaderValue)...) {
        var table = HeaderTable(minimumCapacity: elements.count)
        for (name, value) in elements { table[name] = value }
        self = .table(table)
    }
    /// Creates a null value.
    public init(nilLiteral: ()) { self = .null }
}

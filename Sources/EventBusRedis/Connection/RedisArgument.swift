/// An argument of a Redis command.
///
/// Literals of strings and integers are arguments:
///
/// ```swift
/// _ = try await redis.send("SET", "greeting", "hello", "EX", 60)
/// ```
public enum RedisArgument: Sendable {
    /// Raw bytes, sent unchanged.
    case bytes([UInt8])
    /// A text, encoded as UTF-8.
    case text(String)
    /// An integer, written in decimal digits.
    case integer(Int64)

    /// An upper bound of the argument's size in bytes.
    var maximumLength: Int {
        switch self {
        case .bytes(let argument): argument.count
        case .text(let argument): argument.utf8.count
        case .integer: 20
        }
    }
}

extension RedisArgument: ExpressibleByStringLiteral, ExpressibleByIntegerLiteral {
    /// Creates a text argument.
    public init(stringLiteral value: String) { self = .text(value) }
    /// Creates an integer argument.
    public init(integerLiteral value: Int64) { self = .integer(value) }
}

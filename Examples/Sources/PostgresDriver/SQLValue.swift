/// A value of an SQL statement.
public enum SQLValue: Hashable, Sendable {
    /// SQL's `NULL`.
    case null
    /// A text.
    case text(String)
    /// An integer.
    case integer(Int64)
    /// A Boolean value.
    case boolean(Bool)
    /// A sequence of bytes.
    case bytes([UInt8])

    /// Creates a text, or `NULL`.
    public init(_ text: String?) {
        self = text.map(SQLValue.text) ?? .null
    }

    /// Creates an integer.
    public init(_ number: Int) {
        self = .integer(Int64(number))
    }
}

extension SQLValue: ExpressibleByStringLiteral {
    /// Creates a text.
    public init(stringLiteral value: String) {
        self = .text(value)
    }
}

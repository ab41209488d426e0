/// A value of a ``PostgresStatement``.
///
/// A driver binds each kind to its own type:
///
/// ```swift
/// switch value {
/// case .null: bindings.appendNull()
/// case .text(let text): bindings.append(text)
/// case .integer(let integer): bindings.append(integer)
/// case .boolean(let boolean): bindings.append(boolean)
/// case .bytes(let bytes): bindings.append(bytes)
/// case .integers(let integers): bindings.append(integers)
/// case .texts(let texts): bindings.append(texts)
/// }
/// ```
public enum PostgresValue: Hashable, Sendable {
    /// SQL's `NULL`.
    case null
    /// A `text`, which has no U+0000.
    case text(String)
    /// A `bigint`.
    case integer(Int64)
    /// A `boolean`.
    case boolean(Bool)
    /// A `bytea`.
    case bytes([UInt8])
    /// A `bigint[]`.
    case integers([Int64])
    /// A `text[]`, none of which has U+0000.
    case texts([String])

    /// Creates a text, or `NULL`.
    init(_ text: String?) {
        self = text.map(PostgresValue.text) ?? .null
    }

    /// Creates an integer, or `NULL`.
    init(_ number: Int64?) {
        self = number.map(PostgresValue.integer) ?? .null
    }
}

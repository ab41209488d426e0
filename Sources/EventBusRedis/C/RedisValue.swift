/// The reply of a Redis server to one command.
///
/// ```swift
/// let count = try await redis.send("INCR", "visits").integer ?? 0
/// let name = try await redis.send("GET", "name").text
/// ```
public enum RedisValue: Hashable, Sendable {
    /// A null reply, such as for a key that does not exist.
    case null
    /// An integer.
    case integer(Int64)
    /// A short status text from the server, such as `OK`.
    case status(String)
    /// A string of bytes.
    case bulk([UInt8])
    /// An array of values.
    case array([RedisValue])
    /// An error: the server refused the command, or an element of a script's result is an error.
    case error(String)

    /// The integer, or `nil` if the value is not an integer.
    @inlinable public var integer: Int64? {
        if case .integer(let number) = self { number } else { nil }
    }

    /// The bytes, or `nil` if the value contains no bytes.
    @inlinable public var bytes: [UInt8]? {
        switch self {
        case .bulk(let bytes): bytes
        case .status(let text): Array(text.utf8)
        default: nil
        }
    }

    /// The value as text, or `nil` if it contains no bytes. Invalid UTF-8 is replaced by U+FFFD.
    @inlinable public var text: String? {
        switch self {
        case .bulk(let bytes): String(decoding: bytes, as: UTF8.self)
        case .status(let text): text
        default: nil
        }
    }

    /// The elements, or `nil` if the value is not an array.
    @inlinable public var array: [RedisValue]? {
        if case .array(let values) = self { values } else { nil }
    }
}

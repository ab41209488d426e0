/// What a Redis server answered to one command.
public enum RedisValue: Hashable, Sendable {
    /// There is no such value.
    case null
    /// A whole number.
    case integer(Int64)
    /// A short text of the server's own, such as `OK`.
    case status(String)
    /// Bytes.
    case bulk([UInt8])
    /// Several values.
    case array([RedisValue])
    /// The server refused the command, or a part of a script's answer is an error.
    case error(String)

    /// The number, if it is one.
    @inlinable public var integer: Int64? {
        if case .integer(let number) = self { number } else { nil }
    }

    /// The bytes, if it is made of bytes.
    @inlinable public var bytes: [UInt8]? {
        switch self {
        case .bulk(let bytes): bytes
        case .status(let text): Array(text.utf8)
        default: nil
        }
    }

    /// The text of its bytes, if it is made of bytes; what is not UTF-8 is repaired.
    @inlinable public var text: String? {
        switch self {
        case .bulk(let bytes): String(decoding: bytes, as: UTF8.self)
        case .status(let text): text
        default: nil
        }
    }

    /// The values, if there are several.
    @inlinable public var array: [RedisValue]? {
        if case .array(let values) = self { values } else { nil }
    }
}

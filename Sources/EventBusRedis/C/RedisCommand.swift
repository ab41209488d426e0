/// One command as it goes over the wire: an array of its name and its arguments, each of which may hold any bytes.
///
/// The bytes are those of hiredis' `redisFormatCommandArgv`. Its formatters go through printf, or through two buffers and a
/// copy of their own, which was a sixth of the CPU time of a client that many tasks share.
struct RedisCommand: Sendable {
    var wire: [UInt8]

    init(_ name: String, _ arguments: [RedisArgument] = []) {
        wire = []
        wire.reserveCapacity(
            arguments.reduce(Self.overhead + name.utf8.count) { $0 + Self.overhead + $1.maximumLength }
        )
        wire.appendLine("*", 1 + arguments.count)
        wire.appendBulk(name.utf8)
        for argument in arguments {
            switch argument {
            case .bytes(let bytes): wire.appendBulk(bytes)
            case .text(let text): wire.appendBulk(text.utf8)
            case .integer(let number): wire.appendBulk(String(number).utf8)
            }
        }
    }

    /// More than what goes before and after an argument in most commands.
    private static var overhead: Int { 16 }
}

extension [UInt8] {
    fileprivate mutating func appendLine(_ marker: Unicode.Scalar, _ number: Int) {
        append(UInt8(ascii: marker))
        if number < 10 {
            append(UInt8(ascii: "0") + UInt8(number))
        } else {
            self += String(number).utf8
        }
        endLine()
    }

    fileprivate mutating func appendBulk(_ bytes: some Collection<UInt8>) {
        appendLine("$", bytes.count)
        self += bytes
        endLine()
    }

    private mutating func endLine() {
        append(UInt8(ascii: "\r"))
        append(UInt8(ascii: "\n"))
    }
}

/// One argument of a command.
public enum RedisArgument: Sendable {
    /// Bytes, as they are.
    case bytes([UInt8])
    /// A text, in UTF-8.
    case text(String)
    /// A whole number, in decimal digits.
    case integer(Int64)

    /// No fewer than the bytes it takes.
    var maximumLength: Int {
        switch self {
        case .bytes(let argument): argument.count
        case .text(let argument): argument.utf8.count
        case .integer: 20
        }
    }
}

extension RedisArgument: ExpressibleByStringLiteral, ExpressibleByIntegerLiteral {
    /// A text.
    public init(stringLiteral value: String) { self = .text(value) }
    /// A number.
    public init(integerLiteral value: Int64) { self = .integer(value) }
}

import CHiredis
import EventBus

/// One command as it goes over the wire.
struct RedisCommand: Sendable {
    let wire: [UInt8]

    /// A command made of its name and arguments, each of which may hold any bytes.
    ///
    /// Formatted by argument vector with lengths: the library's printf-like formats split an argument at its spaces.
    init(_ name: String, _ arguments: [RedisArgument] = []) throws(EventBusError) {
        var bytes = Array(name.utf8)
        var lengths = [bytes.count]
        for argument in arguments {
            let start = bytes.count
            argument.append(to: &bytes)
            lengths.append(bytes.count - start)
        }
        guard let wire = Self.format(bytes, lengths) else {
            throw EventBusError(.tooLarge, "no memory to format a Redis command of \(bytes.count) bytes")
        }
        self.wire = wire
    }

    private static func format(_ bytes: [UInt8], _ lengths: [Int]) -> [UInt8]? {
        bytes.withUnsafeBytes { buffer -> [UInt8]? in
            guard let base = buffer.bindMemory(to: CChar.self).baseAddress else { return nil }
            var offset = 0
            var pointers: [UnsafePointer<CChar>?] = []
            pointers.reserveCapacity(lengths.count)
            for length in lengths {
                pointers.append(base + offset)
                offset += length
            }
            var target: UnsafeMutablePointer<CChar>?
            let count = redisFormatCommandArgv(&target, Int32(lengths.count), &pointers, lengths)
            guard count >= 0, let target else { return nil }
            defer { redisFreeCommand(target) }
            return [UInt8](UnsafeRawBufferPointer(start: target, count: Int(count)))
        }
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

    func append(to bytes: inout [UInt8]) {
        switch self {
        case .bytes(let argument): bytes += argument
        case .text(let argument): bytes += argument.utf8
        case .integer(let argument): bytes += String(argument).utf8
        }
    }
}

extension RedisArgument: ExpressibleByStringLiteral, ExpressibleByIntegerLiteral {
    /// A text.
    public init(stringLiteral value: String) { self = .text(value) }
    /// A number.
    public init(integerLiteral value: Int64) { self = .integer(value) }
}

import CHiredis
import EventBus

/// One command as it goes over the wire.
struct RedisCommand: Sendable {
    let wire: [UInt8]

    /// A command made of its name and arguments, each of which may hold any bytes.
    ///
    /// Formatted by argument vector with lengths: the library's printf-like formats split an argument at its spaces.
    init(_ name: String, _ arguments: [RedisArgument] = []) throws(EventBusError) {
        // All arguments one behind the other in one buffer: a busy client formats a million commands a second.
        var bytes: [UInt8] = []
        bytes.reserveCapacity(name.utf8.count + arguments.reduce(0) { $0 + $1.maximumLength })
        bytes += name.utf8
        let wire = withUnsafeTemporaryAllocation(of: Int.self, capacity: 1 + arguments.count) { lengths -> [UInt8]? in
            lengths.initializeElement(at: 0, to: bytes.count)
            for (index, argument) in arguments.enumerated() {
                let start = bytes.count
                argument.append(to: &bytes)
                lengths.initializeElement(at: index + 1, to: bytes.count - start)
            }
            return Self.format(bytes, lengths)
        }
        guard let wire else {
            throw EventBusError(.tooLarge, "no memory to format a Redis command of \(bytes.count) bytes")
        }
        self.wire = wire
    }

    private static func format(_ bytes: [UInt8], _ lengths: UnsafeMutableBufferPointer<Int>) -> [UInt8]? {
        bytes.withUnsafeBytes { buffer -> [UInt8]? in
            guard let base = buffer.bindMemory(to: CChar.self).baseAddress else { return nil }
            return withUnsafeTemporaryAllocation(of: UnsafePointer<CChar>?.self, capacity: lengths.count) { pointers in
                var offset = 0
                for (index, length) in lengths.enumerated() {
                    pointers.initializeElement(at: index, to: base + offset)
                    offset += length
                }
                var target: UnsafeMutablePointer<CChar>?
                let count = redisFormatCommandArgv(
                    &target,
                    Int32(lengths.count),
                    pointers.baseAddress,
                    lengths.baseAddress
                )
                guard count >= 0, let target else { return nil }
                defer { redisFreeCommand(target) }
                return [UInt8](UnsafeRawBufferPointer(start: target, count: Int(count)))
            }
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

    /// No fewer than the bytes it takes.
    var maximumLength: Int {
        switch self {
        case .bytes(let argument): argument.count
        case .text(let argument): argument.utf8.count
        case .integer: 20
        }
    }

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

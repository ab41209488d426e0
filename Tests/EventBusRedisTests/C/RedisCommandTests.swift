import CHiredis
import Testing

@testable import EventBusRedis

@Suite(.timeLimit(.minutes(1)))
struct RedisCommandTests {
    /// Returns hiredis's format of a command.
    private func reference(_ parts: [[UInt8]]) -> [UInt8] {
        // Contiguous, because hiredis expects pointers.
        let bytes = parts.flatMap { $0 }.map { CChar(bitPattern: $0) } + [0]
        let lengths = parts.map(\.count)
        return bytes.withUnsafeBufferPointer { bytes in
            var end = 0
            var starts = lengths.map { length -> UnsafePointer<CChar>? in
                defer { end += length }
                return bytes.baseAddress.map { $0 + end }
            }
            var target: UnsafeMutablePointer<CChar>?
            let count = redisFormatCommandArgv(&target, Int32(parts.count), &starts, lengths)
            defer { redisFreeCommand(target) }
            return [UInt8](UnsafeRawBufferPointer(start: target, count: Int(count)))
        }
    }

    @Test func `a command is what hiredis makes of it, whatever its arguments hold`() {
        var generator = SystemRandomNumberGenerator()
        for _ in 0..<1000 {
            let name = String(repeating: "E", count: .random(in: 0...12))
            var parts = [Array(name.utf8)]
            let arguments = (0..<Int.random(in: 0...12)).map { _ -> RedisArgument in
                switch Int.random(in: 0..<3) {
                case 0:
                    let bytes = (0..<Int.random(in: 0...300)).map { _ in UInt8.random(in: .min ... .max) }
                    parts.append(bytes)
                    return .bytes(bytes)
                case 1:
                    let text = String((0..<Int.random(in: 0...120)).map { _ in "a \r\né😀%s\0".randomElement() ?? "b" })
                    parts.append(Array(text.utf8))
                    return .text(text)
                default:
                    let number = Int64(bitPattern: generator.next() >> UInt64.random(in: 0...63))
                    parts.append(Array("\(number)".utf8))
                    return .integer(number)
                }
            }
            #expect(RedisCommand(name, arguments).wire == reference(parts), "\(name) \(arguments)")
        }
    }
}

/// A decoded value, or the kind and place of the error.
struct Outcome<Value: Equatable>: Equatable {
    var value: Value?
    var error: String?

    init(_ body: () throws -> Value) {
        do { value = try body() } catch { self.error = summary(error) }
    }
}

/// Changes up to three places of `text` in ways that make it invalid or another value.
func damage(_ text: [UInt8], using random: inout SeededGenerator) -> [UInt8] {
    var bytes = text
    for _ in 0..<Int.random(in: 1...3, using: &random) {
        let at = Int.random(in: 0..<max(1, bytes.count), using: &random)
        guard at < bytes.count else { break }
        let byte = interesting[Int.random(in: 0..<interesting.count, using: &random)]
        switch Int.random(in: 0...7, using: &random) {
        case 0: bytes[at] = UInt8(truncatingIfNeeded: random.next())
        case 1, 2: bytes[at] = byte
        case 3: bytes.insert(byte, at: at)
        case 4: bytes.remove(at: at)
        case 5: bytes.removeSubrange(at..<min(bytes.count, at + Int.random(in: 1...12, using: &random)))
        case 6:
            let end = min(bytes.count, at + Int.random(in: 1...30, using: &random))
            bytes.insert(contentsOf: bytes[at..<end], at: Int.random(in: 0...bytes.count, using: &random))
        default:
            bytes.insert(contentsOf: Array(phrases[Int.random(in: 0..<phrases.count, using: &random)].utf8), at: at)
        }
    }
    return bytes
}

private let interesting =
    Array("{}[]:,\"\\/ \t\n\r0123456789.eE+-truefalsn".utf8) + [0, 0x1f, 0x7f, 0x80, 0xc3, 0xff]
private let phrases = [
    "null", "true", "\\u0000", "\\ud83d\\ude00", "\\ud83d", "\\uDE00", "\\n", "1e5", "1e400", "-0", "0.5", "[]",
    "{}", "\"a\":1,", ",",
    "\"name\":\"\",", "\\x", "\u{FEFF}", "1.0", "99999999999999999999", "\"\"", "2e-1",
]

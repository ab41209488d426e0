import EventBusJSON
import FoundationEssentials
import Testing

/// Comparison of this coder with Foundation's on random values and damaged texts.
///
/// `EVENTBUS_JSON_INPUTS` sets the number of inputs, and `EVENTBUS_JSON_SEED` the seed.
@Suite("JSON compared with Foundation")
struct FoundationComparisonTests {
    private static func setting(_ name: String) -> Int? {
        ProcessInfo.processInfo.environment[name].flatMap(Int.init)
    }

    static let inputs = setting("EVENTBUS_JSON_INPUTS") ?? 400
    static let seed = setting("EVENTBUS_JSON_SEED") ?? 1

    private struct Outcome<Value: Equatable>: Equatable {
        var value: Value?
        var error: String?

        init(_ body: () throws -> Value) {
            do { value = try body() } catch { self.error = summary(error) }
        }
    }

    @Test("Random values and damaged texts decode to the same values, or fail at the same place")
    func randomInputs() throws {
        let encoder = EventJSONEncoder()
        let decoder = EventJSONDecoder()
        let foundationEncoder = JSONEncoder()
        let foundationDecoder = JSONDecoder()
        var input = 0
        var round = 0
        while input < Self.inputs {
            var random = SeededGenerator(seed: UInt64(Self.seed) << 32 + UInt64(round))
            round += 1
            let sample = Sample(using: &random)
            let ours = try encoder.encode(sample)
            let theirs = try foundationEncoder.encode(sample)
            guard try foundationDecoder.decode(Sample.self, from: Data(ours)) == sample,
                try decoder.decode(Sample.self, from: [UInt8](theirs)) == sample,
                try decoder.decode(Sample.self, from: ours) == sample,
                try decoder.decode(JSONValue.self, from: ours) == decoder.decode(JSONValue.self, from: [UInt8](theirs)),
                try foundationDecoder.decode(JSONValue.self, from: theirs) == decoder.decode(JSONValue.self, from: ours)
            else {
                Issue.record("seed \(Self.seed), round \(round): \(String(decoding: ours, as: UTF8.self))")
                return
            }
            for _ in 0..<40 {
                let damaged = Self.damage(ours, using: &random)
                input += 1
                let left = Outcome { try decoder.decode(Sample.self, from: damaged) }
                let right = Outcome { try foundationDecoder.decode(Sample.self, from: Data(damaged)) }
                guard left == right || Self.isLossyInteger(damaged, right, left) || Self.areInDictionary(left, right)
                else {
                    Issue.record(
                        """
                        seed \(Self.seed), round \(round): \(left.error ?? "a value") here, \(right.error ?? "a value") \
                        there for \(String(decoding: damaged, as: UTF8.self))
                        """
                    )
                    return
                }
                let leftAny = Outcome { try decoder.decode(JSONValue.self, from: damaged) }
                let rightAny = Outcome { try foundationDecoder.decode(JSONValue.self, from: Data(damaged)) }
                // Foundation decodes members in another order, so it may find another error first.
                guard leftAny.value == rightAny.value || Self.isLossyInteger(damaged, rightAny, leftAny) else {
                    Issue.record(
                        """
                        seed \(Self.seed), round \(round), any value: \(leftAny) here, \
                        \(rightAny) there for \(String(decoding: damaged, as: UTF8.self))
                        """
                    )
                    return
                }
            }
        }
    }

    /// Foundation reads an integer with a fraction as a `Double` and loses the digits that it cannot hold.
    private static func isLossyInteger<Value>(
        _ text: [UInt8],
        _ foundation: Outcome<Value>,
        _ ours: Outcome<Value>
    ) -> Bool {
        ours.error != nil && foundation.value != nil
            && text.contains { $0 == UInt8(ascii: ".") || $0 | 32 == UInt8(ascii: "e") }
    }

    /// Two errors of which one is inside a dictionary, whose members Foundation decodes in another order.
    private static func areInDictionary(_ left: Outcome<Sample>, _ right: Outcome<Sample>) -> Bool {
        guard let left = left.error, let right = right.error else { return false }
        return ["tags", "counts", "carriers"].contains { left.contains(" at \($0)") || right.contains(" at \($0)") }
    }

    private static func damage(_ text: [UInt8], using random: inout SeededGenerator) -> [UInt8] {
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

    private static let interesting =
        Array("{}[]:,\"\\/ \t\n\r0123456789.eE+-truefalsn".utf8) + [0, 0x1f, 0x7f, 0x80, 0xc3, 0xff]
    private static let phrases = [
        "null", "true", "\\u0000", "\\ud83d\\ude00", "\\ud83d", "\\uDE00", "\\n", "1e5", "1e400", "-0", "0.5", "[]",
        "{}", "\"a\":1,", ",",
        "\"name\":\"\",", "\\x", "\u{FEFF}", "1.0", "99999999999999999999", "\"\"", "2e-1",
    ]

    @Test("Doubles of any bit pattern read back as themselves and are written as Foundation writes them")
    func doubles() throws {
        var random = SeededGenerator(seed: UInt64(Self.seed))
        let encoder = EventJSONEncoder()
        let decoder = EventJSONDecoder()
        let foundation = JSONEncoder()
        let batch = 100
        for _ in 0..<max(1, Self.inputs / batch) {
            let values = (0..<batch).map { _ in Self.double(using: &random) }
            let bytes = try encoder.encode(values)
            guard try decoder.decode([Double].self, from: bytes).map(\.bitPattern) == values.map(\.bitPattern),
                try foundation.encode(values) == Data(bytes)
            else {
                Issue.record("seed \(Self.seed): \(values)")
                return
            }
            let floats = values.map { Float(truncating: $0) }
            let floatBytes = try encoder.encode(floats)
            guard try decoder.decode([Float].self, from: floatBytes).map(\.bitPattern) == floats.map(\.bitPattern),
                try foundation.encode(floats) == Data(floatBytes)
            else {
                Issue.record("seed \(Self.seed): \(floats)")
                return
            }
        }
    }

    private static func double(using random: inout SeededGenerator) -> Double {
        while true {
            let bits = random.next()
            let value: Double
            switch bits & 3 {
            case 0: value = Double(Int64(bitPattern: bits) >> 20) / [1, 10, 100, 1000, 10000, 1e6][Int(bits >> 3) % 6]
            default: value = Double(bitPattern: random.next())
            }
            if value.isFinite { return value }
        }
    }
}

extension Float {
    fileprivate init(truncating value: Double) {
        let float = Float(value)
        self = float.isFinite ? float : Float(bitPattern: UInt32(truncatingIfNeeded: value.bitPattern) & 0x7f7f_ffff)
    }
}

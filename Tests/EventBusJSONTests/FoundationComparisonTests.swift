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

    static let inputs = setting("EVENTBUS_JSON_INPUTS") ?? 2000
    static let seed = setting("EVENTBUS_JSON_SEED") ?? 1

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
                try foundationDecoder.decode(JSONValue.self, from: theirs) == decoder.decode(JSONValue.self, from: ours)
            else {
                Issue.record("seed \(Self.seed), round \(round): \(String(decoding: ours, as: UTF8.self))")
                return
            }
            for number in 0..<Self.damagedTexts {
                let damaged = damage(ours, using: &random)
                input += 1
                let left = Outcome { try decoder.decode(Sample.self, from: damaged) }
                let right = Outcome { try foundationDecoder.decode(Sample.self, from: Data(damaged)) }
                guard left == right || Self.areInDictionary(left, right) || Self.isWiderInteger(right, in: damaged)
                else {
                    Issue.record(
                        """
                        seed \(Self.seed), round \(round): \(left.error ?? "a value") here, \(right.error ?? "a value") \
                        there for \(String(decoding: damaged, as: UTF8.self))
                        """
                    )
                    return
                }
                // A value of any kind takes much longer to decode because it tries each type.
                guard number % 20 == 0 else { continue }
                let leftAny = Outcome { try decoder.decode(JSONValue.self, from: damaged) }
                let rightAny = Outcome { try foundationDecoder.decode(JSONValue.self, from: Data(damaged)) }
                // Foundation decodes members in another order, so it may find another error first.
                guard leftAny.value?.rounded == rightAny.value?.rounded else {
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

    /// The number of damaged texts for each random value.
    private static let damagedTexts = 100

    /// Foundation refuses an integer of a valid text that has more digits than it reads behind a point or an exponent.
    private static func isWiderInteger<Value>(_ foundation: Outcome<Value>, in text: [UInt8]) -> Bool {
        foundation.error == "corrupted at " && (try? JSONDecoder().decode(JSONValue.self, from: Data(text))) != nil
    }

    /// Two errors of which one is inside a dictionary, whose members Foundation decodes in another order.
    private static func areInDictionary(_ left: Outcome<Sample>, _ right: Outcome<Sample>) -> Bool {
        guard let left = left.error, let right = right.error else { return false }
        return ["tags", "counts", "carriers"].contains { left.contains(" at \($0)") || right.contains(" at \($0)") }
    }

    /// Two errors about one value, of which Foundation's path lacks the last key, as that of an ISO 8601 date does.
    private static func isMorePrecise(_ ours: Outcome<Layered>, _ foundation: Outcome<Layered>) -> Bool {
        guard let left = ours.error, let right = foundation.error else { return false }
        return right.hasPrefix("corrupted at ") && left.hasPrefix(right + ".")
    }

    /// Both coders with equal strategies.
    private struct Coders {
        var encoder = EventJSONEncoder()
        var decoder = EventJSONDecoder()
        let foundationEncoder = JSONEncoder()
        let foundationDecoder = JSONDecoder()

        init(using random: inout SeededGenerator) {
            let (inf, minus, nan) = ("inf", "-inf", "nan")
            encoder.nonConformingFloatEncodingStrategy =
                .convertToString(positiveInfinity: inf, negativeInfinity: minus, nan: nan)
            decoder.nonConformingFloatDecodingStrategy =
                .convertFromString(positiveInfinity: inf, negativeInfinity: minus, nan: nan)
            if Bool.random(using: &random) {
                encoder.keyEncodingStrategy = .convertToSnakeCase
                decoder.keyDecodingStrategy = .convertFromSnakeCase
            }
            switch Int.random(in: 0...3, using: &random) {
            case 0: (encoder.dateEncodingStrategy, decoder.dateDecodingStrategy) = (.iso8601, .iso8601)
            case 1:
                (encoder.dateEncodingStrategy, decoder.dateDecodingStrategy) = (.secondsSince1970, .secondsSince1970)
            case 2:
                encoder.dateEncodingStrategy = .millisecondsSince1970
                decoder.dateDecodingStrategy = .millisecondsSince1970
            default: break
            }
            if Bool.random(using: &random) {
                (encoder.dataEncodingStrategy, decoder.dataDecodingStrategy) = (.deferredToData, .deferredToData)
            }
            foundationEncoder.keyEncodingStrategy = encoder.keyEncodingStrategy
            foundationEncoder.dateEncodingStrategy = encoder.dateEncodingStrategy
            foundationEncoder.dataEncodingStrategy = encoder.dataEncodingStrategy
            foundationEncoder.nonConformingFloatEncodingStrategy = encoder.nonConformingFloatEncodingStrategy
            foundationDecoder.keyDecodingStrategy = decoder.keyDecodingStrategy
            foundationDecoder.dateDecodingStrategy = decoder.dateDecodingStrategy
            foundationDecoder.dataDecodingStrategy = decoder.dataDecodingStrategy
            foundationDecoder.nonConformingFloatDecodingStrategy = decoder.nonConformingFloatDecodingStrategy
        }
    }

    @Test("Types that code by hand, under any strategies, decode to the same values, or fail at the same place")
    func strategies() throws {
        var input = 0
        var round = 0
        while input < Self.inputs {
            var random = SeededGenerator(seed: UInt64(Self.seed) << 32 + UInt64(round))
            round += 1
            let coders = Coders(using: &random)
            let layered = Layered(using: &random)
            let ours = try coders.encoder.encode(layered)
            let theirs = try coders.foundationEncoder.encode(layered)
            guard try coders.foundationDecoder.decode(Layered.self, from: Data(ours)) == layered,
                try coders.decoder.decode(Layered.self, from: [UInt8](theirs)) == layered
            else {
                Issue.record("seed \(Self.seed), round \(round): \(String(decoding: ours, as: UTF8.self))")
                return
            }
            for _ in 0..<Self.damagedTexts {
                let damaged = damage(ours, using: &random)
                input += 1
                let left = Outcome { try coders.decoder.decode(Layered.self, from: damaged) }
                let right = Outcome { try coders.foundationDecoder.decode(Layered.self, from: Data(damaged)) }
                guard left == right || Self.isMorePrecise(left, right) || Self.isWiderInteger(right, in: damaged)
                else {
                    Issue.record(
                        """
                        seed \(Self.seed), round \(round): \(left.error ?? "a value") here, \(right.error ?? "a value") \
                        there for \(String(decoding: damaged, as: UTF8.self))
                        """
                    )
                    return
                }
            }
        }
    }

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

import EventBusJSON
import FoundationEssentials
import Testing

/// Comparison with Foundation of values of every kind of type, encoded in every place.
@Suite("Encoding compared with Foundation")
struct FoundationEncodingTests {
    /// A value that is encoded in every way that containers offer.
    private struct Places<Value: Encodable>: Encodable {
        var value: Value

        private struct Single: Encodable {
            var value: Value

            func encode(to encoder: any Encoder) throws {
                var container = encoder.singleValueContainer()
                try container.encode(value)
            }
        }

        func encode(to encoder: any Encoder) throws {
            var container = encoder.container(keyedBy: Name.self)
            try container.encode(value, forKey: "inMember")
            try container.encodeIfPresent(value, forKey: "ifPresent")
            try container.encodeIfPresent(Value?.none, forKey: "absent")
            try container.encode(Value?.some(value), forKey: "some")
            try container.encode(Value?.none, forKey: "none")
            try container.encodeNil(forKey: "null")
            try container.encode([value, value], forKey: "array")
            try container.encode(["aKey": value], forKey: "dictionary")
            try container.encode(Single(value: value), forKey: "single")
            var elements = container.nestedUnkeyedContainer(forKey: "elements")
            try elements.encode(value)
            try elements.encodeNil()
            try elements.encode(Value?.none)
            try elements.encode(Single(value: value))
            var member = elements.nestedContainer(keyedBy: Name.self)
            try member.encode(value, forKey: "inElement")
            var inner = elements.nestedUnkeyedContainer()
            try inner.encode(value)
            try value.encode(to: elements.superEncoder())
            var nested = container.nestedContainer(keyedBy: Name.self, forKey: "nested")
            try nested.encode(value, forKey: "inNested")
            try value.encode(to: nested.superEncoder(forKey: "other"))
            try value.encode(to: container.superEncoder())
        }
    }

    private enum Shape: Encodable { case point, circle(radius: Int), pair(Int, String?) }
    private struct Line: Encodable { var unitPrice = 1.5, itemCount: Int?, madeBy = "é" }
    private final class Reference: Encodable { var firstName = "n", lastName: String? = nil }

    private let values: [any Encodable] = [
        true, false, "", "a", "é日😀\u{0}\u{1f}\"\\/\u{7f}\u{2028}", String(repeating: "long ", count: 100),
        Int.min, Int.max, 0, -1, Int8.min, UInt8.max, Int16.min, UInt16.max, Int32.min, UInt32.max, Int64.min,
        UInt64.max, Int128.min, Int128.max, UInt128.max, UInt.max,
        0.0, -0.0, 1.0, 0.1, 1e15, 1e16, 123456.789, Double.leastNonzeroMagnitude, Double.greatestFiniteMagnitude, 1e-5,
        1e-4,
        Double.infinity, -Double.infinity, Double.nan, Float(0.1), Float(16_777_216), Float.leastNonzeroMagnitude,
        Float.infinity,
        Float(-0.0), Float(1e10),
        Decimal(string: "0.1"), Decimal(string: "-12345678901234567890.5"), Decimal(string: "1e30"),
        Date(timeIntervalSince1970: 0), Date(timeIntervalSince1970: 1_700_000_000.25),
        Date(timeIntervalSinceReferenceDate: .infinity), Data(), Data([0, 255, 62, 63]),
        URL(string: "https://example.com/a?b=c#d"), URL(string: "relative"),
        UUID(uuid: (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16)),
        Shape.point, Shape.circle(radius: 1), Shape.pair(1, nil), Shape.pair(2, "x"), Line(), Line(itemCount: 3),
        Reference(), [Int](), [1, 2, 3], [[1], []], ["a": 1], [String: Int](), [7: "x"], [UUID: Int](), Set([1]),
        [Int?.none, 1], [Double.nan], ["k": Float.infinity], 1...5, Duration.seconds(1), Int??.some(nil),
        DateInterval(start: Date(timeIntervalSinceReferenceDate: 0), duration: 5), [UInt8](0...255),
        [Line(), Line(itemCount: 1)], ["key": Line()], JSONValue.object(["snakeKey": .array([.null])]),
    ]

    private func compare(_ ours: EventJSONEncoder, _ theirs: JSONEncoder) {
        var differences: [String] = []
        func check<Value: Encodable>(_ value: Value) {
            func same<Whole: Encodable>(_ value: Whole) {
                // Members are written in another order, so the texts are decoded.
                let left = Outcome { try EventJSONDecoder().decode(JSONValue.self, from: ours.encode(value)) }
                let right = Outcome {
                    try EventJSONDecoder().decode(JSONValue.self, from: [UInt8](theirs.encode(value)))
                }
                if left != right { differences.append("\(Whole.self) \(value): \(left), not \(right)") }
            }
            same(value)
            same([value])
            same(["k": value])
            same([1: [value]])
            same(Places(value: value))
        }
        for value in values { check(value) }
        let list = differences.prefix(40).joined(separator: "\n")
        #expect(differences.isEmpty, "\(differences.count) differences:\n\(list)")
    }

    @Test("A value of every type is encoded in every place as it is with Foundation")
    func encodes() { compare(EventJSONEncoder(), JSONEncoder()) }

    @Test("Strategies change the encoding of every type as they do with Foundation")
    func strategies() {
        var ours = EventJSONEncoder()
        let theirs = JSONEncoder()
        ours.keyEncodingStrategy = .convertToSnakeCase
        theirs.keyEncodingStrategy = .convertToSnakeCase
        ours.dataEncodingStrategy = .deferredToData
        theirs.dataEncodingStrategy = .deferredToData
        ours.nonConformingFloatEncodingStrategy =
            .convertToString(positiveInfinity: "inf", negativeInfinity: "-inf", nan: "nan")
        theirs.nonConformingFloatEncodingStrategy = ours.nonConformingFloatEncodingStrategy
        let dates: [JSONEncoder.DateEncodingStrategy] = [
            .secondsSince1970, .millisecondsSince1970, .custom { date, encoder in try "\(date)".encode(to: encoder) },
            .custom { _, _ in },
        ]
        for strategy in dates {
            ours.dateEncodingStrategy = strategy
            theirs.dateEncodingStrategy = strategy
            compare(ours, theirs)
        }
    }
}

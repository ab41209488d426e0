import EventBusJSON
import FoundationEssentials
import Testing

/// Comparison with Foundation of every kind of type, decoded from every kind of value in every place.
@Suite("Decoding compared with Foundation")
struct FoundationDecodingTests {
    enum Carrier: String, Codable, CodingKeyRepresentable { case one, a }
    enum Shape: Codable, Equatable { case point, circle(radius: Int), pair(Int, String?) }

    struct Defaulted: Decodable, Equatable {
        var a: Int?
        var list: [Double]?
        var one: Date?
    }

    private let types: [any (Decodable & Equatable).Type] = [
        Bool.self, String.self, Double.self, Float.self, Int.self, Int8.self, Int16.self, Int32.self, Int64.self,
        Int128.self, UInt.self, UInt8.self, UInt16.self, UInt32.self, UInt64.self, UInt128.self,
        Decimal.self, Date.self, Data.self, URL.self, UUID.self, Carrier.self, Shape.self, Defaulted.self,
        [Int].self, [String].self, [Double].self, [UInt8].self, [Float].self, [Bool].self, [Int?].self, [[Int]].self,
        [Date].self, [Decimal].self, [JSONValue].self, Set<Int>.self, ClosedRange<Int>.self, Duration.self,
        DateInterval.self, [String: Int].self, [Int: Int].self, [Carrier: Int].self, [UUID: Int].self,
        [String: JSONValue].self, JSONValue.self, Layered.Wrapper.self, Layered.Choice.self, Layered.Base.self,
    ]

    private static let numbers = [
        "0", "-0", "0.0", "-0.0", "0e5", "0e400", "-0e-400", "1", "-1", "1.0", "-1.0", "1.000", "10e-1", "1e2", "1E2",
        "1e+2", "12e-1", "100e-2", "0.5", "-0.5", "1.5", "99.9", "127", "128", "-128", "-129", "127.0", "128.0", "255",
        "256", "255e0", "-32768", "32768", "65535", "65536", "2147483647", "2147483648", "-2147483649", "4294967295",
        "4294967296", "16777217", "9007199254740991", "9007199254740992", "9007199254740993", "9007199254740992.0",
        "9007199254740993.0", "90071992547409930e-1", "-9007199254740993.0", "9223372036854775807",
        "9223372036854775808", "-9223372036854775808", "-9223372036854775809", "9223372036854775807.0",
        "9223372036854775808.0", "-9223372036854775808.0", "18446744073709551615", "18446744073709551616", "1e18",
        "1e19", "1.8e19", "1e20", "1e25", "1e38", "1e39", "170141183460469231731687303715884105727",
        "170141183460469231731687303715884105728", "340282366920938463463374607431768211455",
        "340282366920938463463374607431768211456", "1.7976931348623157e308", "1e309", "-1e309", "3.4028235e38",
        "3.5e38", "1e-45", "1e-46", "5e-324", "1e-324", "1e-400", "-1e-400", "0.1", "0.30000000000000004",
        "1.00000000000000000001", "0.99999999999999999999", "-1.00000000000000000001", "0.00000000000000000000001",
        "1e-1000", "1e1000", "9007199254740993.5", "9007199254740992.5", "1234567890123456.7",
        "123456789012345678901234567890.123", "1e127", "1e128", "1e-127", "1e-128", "721692800.5", "1e99999999999",
    ]

    private static let others = [
        "null", "true", "false", #""""#, #""1""#, #""1.5""#, #""true""#, #""null""#, #""abc""#, #""é日😀""#, #""\u0031""#,
        #""\u0000""#, #""AP8+Pw==""#, #""AP8""#, #""A P""#, #""https://example.com/a?b=c""#, #""http://[""#, #""a b""#,
        #""%zz""#, #""2023-11-14T22:13:20Z""#, #""2023-11-14T22:13:20+01:00""#, #""2023-11-14T22:13:20.5Z""#,
        #""2023-11-14""#, #""01936f5e-7a2b-7c3d-8e4f-5a6b7c8d9e0f""#, #""01936F5E7A2B7C3D8E4F5A6B7C8D9E0F""#, #""one""#,
        #""inf""#, #""-inf""#, #""point""#, "[]", "[1]", "[1,2]", "[1.0,2.0]", "[0,255]", "[2,1]", #"["a",1]"#,
        "[null]", "[true]", "[[1]]", "[{}]", #"["one",1]"#, #"["01936f5e-7a2b-7c3d-8e4f-5a6b7c8d9e0f",1]"#, "[1,]",
        "[ 1 , 2 ]", "{}", #"{"a":1}"#, #"{"a":null}"#, #"{"a":1.0,"list":[1,2]}"#, #"{"a":"x"}"#, #"{"one":1}"#,
        #"{"1":1}"#, #"{"-1":1.0}"#, #"{"1":1,"1":2}"#, #"{"a":1,"a":"x"}"#, #"{"a":1,}"#, #"{"x y":[]}"#,
        #"{"point":{}}"#, #"{"point":null}"#, #"{"circle":{"radius":1}}"#, #"{"circle":{}}"#,
        #"{"point":{},"circle":{}}"#, #"{"pair":{"_0":1,"_1":null}}"#, #"{"pair":{"_0":1}}"#, #"{"leaf":{}}"#,
        #"{"labeled":{"_0":"x","count":1}}"#, #"{"start":0,"duration":5}"#, #"{"baseName":"x"}"#,
        #"{"base_name":"x","base_time":null}"#, #"{"\u0061":1}"#,
    ]

    /// Texts that are not JSON, most of them JSON5.
    private static let malformed = [
        "", " ", "01", "-", "+1", ".5", "1.", "0x10", "NaN", "Infinity", "-Infinity", "1_000", "'a'", "{a:1}", "[1,,2]",
        "/* c */ 1", "// c\n1", "1 2", "[1", #"{"a":}"#, #"{"a" 1}"#, #""a"#, #""\x""#, #""\ud800""#, "\"a\nb\"",
        "[01]", "[1.]", "[\"\\x\"]", #"{"\x":1}"#, "nul", "truee", "\u{0}", "\u{feff}1", "[1]\u{0}",
    ]

    /// Numbers that Foundation refuses although a type holds them: zeros with an exponent, and integers of more than 64
    /// bits or with more digits behind the point.
    private static let widerHere: Set<String> = [
        "0e5", "0e400", "-0e-400", "1e20", "1e25", "1e38", "3.4028235e38", "9223372036854775807.0",
        "-9223372036854775808.0", "123456789012345678901234567890.123",
    ]

    private struct Both {
        var ours = EventJSONDecoder()
        let theirs = JSONDecoder()

        func outcomes<Value: Decodable & Equatable>(_ type: Value.Type, _ text: String) -> [Outcome<Value>] {
            let bytes = Array(text.utf8)
            return [
                Outcome { try ours.decode(type, from: bytes) }, Outcome { try theirs.decode(type, from: Data(bytes)) },
            ]
        }

        func differences<Value: Decodable & Equatable>(_ type: Value.Type, _ value: String) -> [String] {
            let text = Places<Value>.text(value)
            let bytes = Array(text.utf8)
            let left = Result { try ours.decode(Places<Value>.self, from: bytes) }
            let right = Result { try theirs.decode(Places<Value>.self, from: Data(bytes)) }
            switch (left, right) {
            case (.success(let left), .success(let right)):
                return zip(left.values, right.values).compactMap { difference($0, $1) }
                    + zip(left.answers, right.answers).compactMap { difference($0, $1) }
            case (.failure(let left), .failure(let right)):
                return summary(left) == summary(right) ? [] : ["\(summary(left)), not \(summary(right))"]
            case (.success, .failure(let error)): return ["a value, not \(summary(error))"]
            case (.failure(let error), .success): return ["\(summary(error)), not a value"]
            }
        }

        func difference<Value: Equatable>(_ ours: Outcome<Value>, _ theirs: Outcome<Value>) -> String? {
            if ours == theirs { return nil }
            // Foundation decodes the members of a dictionary in any order, and finds another error first. Its error
            // about an ISO 8601 date lacks the last key.
            if let left = ours.error, let right = theirs.error {
                if "\(Value.self)".contains("Dictionary") { return nil }
                if left.hasPrefix("corrupted at "), right.hasPrefix("corrupted at ") { return nil }
            }
            return "\(ours), not \(theirs)"
        }
    }

    private func compare(_ both: Both, _ texts: [String]) {
        var differences: [String] = []
        func check<Value: Decodable & Equatable>(_ type: Value.Type) {
            for text in texts where !Self.widerHere.contains(text) {
                var found = both.differences(type, text)
                func top<Whole: Decodable & Equatable>(_ type: Whole.Type, _ text: String) {
                    let outcomes = both.outcomes(type, text)
                    if let difference = both.difference(outcomes[0], outcomes[1]) { found.append(difference) }
                }
                top(type, text)
                top(Value?.self, text)
                top([Value].self, "[\(text)]")
                top([Value?].self, "[null,\(text)]")
                top([String: Value].self, "{\"k\":\(text)}")
                top([Int: [Value]].self, "{\"7\":[\(text)]}")
                differences += found.map { "\(type) from \(text): \($0)" }
            }
        }
        for type in types { check(type) }
        let list = differences.prefix(40).joined(separator: "\n")
        #expect(differences.isEmpty, "\(differences.count) differences:\n\(list)")
    }

    @Test("A number decodes as every type as it does with Foundation")
    func decodesNumbers() { compare(Both(), Self.numbers) }

    @Test("A value that is no number decodes as every type as it does with Foundation")
    func decodesOthers() { compare(Both(), Self.others) }

    @Test("A text that is not JSON is refused for every type as Foundation refuses it")
    func refusesMalformed() { compare(Both(), Self.malformed) }

    @Test("Strategies change the decoding of every type as they do with Foundation")
    func strategies() {
        var both = Both()
        both.ours.keyDecodingStrategy = .convertFromSnakeCase
        both.ours.dateDecodingStrategy = .iso8601
        both.ours.dataDecodingStrategy = .deferredToData
        both.ours.nonConformingFloatDecodingStrategy =
            .convertFromString(positiveInfinity: "inf", negativeInfinity: "-inf", nan: "nan")
        both.theirs.keyDecodingStrategy = .convertFromSnakeCase
        both.theirs.dateDecodingStrategy = .iso8601
        both.theirs.dataDecodingStrategy = .deferredToData
        both.theirs.nonConformingFloatDecodingStrategy =
            .convertFromString(positiveInfinity: "inf", negativeInfinity: "-inf", nan: "nan")
        // With a strategy for keys, the last of equal keys of a dictionary counts for Foundation, and it converts the keys
        // of a dictionary that a superclass decoder reads.
        let differ: Set = [#"{"a":1,"a":"x"}"#, #"{"base_name":"x","base_time":null}"#]
        compare(both, Self.others.filter { !differ.contains($0) })
        for strategy in [JSONDecoder.DateDecodingStrategy.secondsSince1970, .millisecondsSince1970] {
            var both = Both()
            both.ours.dateDecodingStrategy = strategy
            both.theirs.dateDecodingStrategy = strategy
            compare(both, ["1", "1.5", "-0.5", "1e3", #""x""#, "null", "[]", "1e400"])
        }
    }

    @Test("A text in UTF-8, UTF-16 or UTF-32 is read if Foundation reads it")
    func encodings() {
        var differences: [String] = []
        for text in ["7", "[]", #"{"日":"😀"}"#, #"["é"]"#, "  1 ", #""\ud83d\ude00""#, "[1", "x"] {
            for (name, bytes) in Self.encoded(text) {
                let ours = Outcome { try EventJSONDecoder().decode(JSONValue.self, from: bytes) }
                let theirs = Outcome { try JSONDecoder().decode(JSONValue.self, from: Data(bytes)) }
                if let value = theirs.value, ours.value != value { differences.append("\(text) in \(name): \(ours)") }
            }
        }
        #expect(differences.isEmpty, "\(differences)")
    }

    /// Every encoding of `text`, with and without a byte order mark, also cut short and with an unpaired surrogate.
    private static func encoded(_ text: String) -> [(name: String, bytes: [UInt8])] {
        func bytes<Unit: FixedWidthInteger>(_ units: [Unit], _ isBig: Bool) -> [UInt8] {
            units.flatMap { unit in withUnsafeBytes(of: isBig ? unit.bigEndian : unit.littleEndian, Array.init) }
        }
        let wide = text.unicodeScalars.map(\.value)
        var all: [(name: String, bytes: [UInt8])] = [
            ("UTF-8", Array(text.utf8)), ("UTF-8 with a mark", [0xef, 0xbb, 0xbf] + text.utf8),
            ("UTF-8 with two marks", [0xef, 0xbb, 0xbf, 0xef, 0xbb, 0xbf] + text.utf8),
        ]
        for isBig in [true, false] {
            for mark in [[], [0xfeff]] as [[UInt16]] {
                all.append(("UTF-16 \(isBig) \(mark)", bytes(mark + text.utf16, isBig)))
                all.append(("UTF-16 unpaired", bytes(mark + [0x22, 0xd800, 0x22], isBig)))
                all.append(("UTF-32 \(isBig) \(mark)", bytes(mark.map(UInt32.init) + wide, isBig)))
                all.append(("UTF-32 surrogate", bytes(mark.map(UInt32.init) + [0x22, 0xd800, 0x22], isBig)))
            }
        }
        return all + all.map { ("\($0.name), cut", $0.bytes.dropLast()) }
    }
}

import EventBusJSON
import FoundationEssentials
import Testing

/// The grammar of RFC 8259, with the extensions that are accepted or refused.
@Suite("The grammar of JSON")
struct GrammarTests {
    @Test(
        "A valid text is read",
        arguments: [
            ("null", .null), (" true ", .bool(true)), ("\t\r\n false\n", .bool(false)),
            ("0", .integer(0)), ("-0", .integer(0)), ("-1", .integer(-1)), ("123", .integer(123)),
            ("9223372036854775807", .integer(.max)), ("-9223372036854775808", .integer(.min)),
            ("9223372036854775808", .number(9_223_372_036_854_775_808)), ("0.5", .number(0.5)), ("-0.1", .number(-0.1)),
            ("1e3", .integer(1000)), ("1E+2", .integer(100)), ("1.50e1", .integer(15)), ("25e-1", .number(2.5)),
            ("0e9", .integer(0)), ("1e-400", .integer(0)),
            ("1.7976931348623157e308", .number(.greatestFiniteMagnitude)), ("5e-324", .number(.leastNonzeroMagnitude)),
            ("0.00000000000000000000000000000000000000000001e44", .integer(1)),
            (#""""#, .string("")), (#""a""#, .string("a")), (#""\"\\\/\b\f\n\r\t""#, .string("\"\\/\u{8}\u{c}\n\r\t")),
            (#""\u0000\u00e9\u65E5""#, .string("\u{0}é日")), (#""\uD83D\uDE00""#, .string("😀")),
            (#""\uDBFF\uDFFF""#, .string("\u{10FFFF}")),
            ("\"\u{7f}\u{80}\u{2028}\u{FFFF}😀\"", .string("\u{7f}\u{80}\u{2028}\u{FFFF}😀")),
            (#""a long text without any escape, and 1 \n""#, .string("a long text without any escape, and 1 \n")),
            ("[]", .array([])), ("[ ]", .array([])),
            ("[1,[2,[]],{}]", .array([.integer(1), .array([.integer(2), .array([])]), .object([:])])),
            ("{}", .object([:])),
            ("{ \"a\" : 1 , \"b\" : [ null ] }", .object(["a": .integer(1), "b": .array([.null])])),
            (#"{"":0}"#, .object(["": .integer(0)])), (#"{"\u0061\n":0}"#, .object(["a\n": .integer(0)])),
            (#"{"日本":"é"}"#, .object(["日本": .string("é")])),
        ] as [(String, JSONValue)]
    )
    func valid(text: String, expected: JSONValue) throws {
        #expect(try value(JSONValue.self, text) == expected)
    }

    @Test(
        "An invalid text is refused",
        arguments: [
            "", " ", "nul", "nulll", "True", "tru", "falsy", "NaN", "Infinity", "-Infinity", "undefined", "'a'",
            "\u{a0}1", "#", "//",
            "1 2", "1,", "[]]", "{}}", "[] x", "null\u{0}", "\"a\"b", "1 /* */",
            "[", "]", "[1", "[1,", "[,1]", "[1,,2]", "[1 2]", "[1:2]", "[,]", "[}", "[\"a]", "[1}", "[-]", "[*]",
            "{", "}", "{]", "{\"a\"", "{\"a\":", "{\"a\":1", "{\"a\":1,", "{\"a\" 1}", "{\"a\",1}", "{a:1}", "{1:1}",
            "{null:1}", "{:1}", "{,}",
            "{\"a\":1,,\"b\":2}", "{\"a\"::1}", "{\"a\":}", "{\"a\":1 \"b\":2}", "{'a':1}", "{\"a\":1;}", "{[]:1}",
            "01", "-01", "00", "-", "--1", "+1", ".5", "-.5", "1.", "1.e1", "1e", "1e+", "1E-", "1.5.5", "1e5.5",
            "1e5e5", "0x1", "1a", "1_0",
            "1+1", "1-1", "0.e1", "- 1", "1e 1", "\u{ff11}", "-Inf", "1e400", "-1e400",
            "2e99999999999999999999",
            "\"", "\"a", "\"\\\"", "\"\\x\"", "\"\\u\"", "\"\\u12\"", "\"\\u123g\"", "\"\\U0041\"", "\"\\a\"",
            "\"\\'\"", "\"\\ \"", "\"\\",
            "\"\\ud800\"", "\"\\udc00\"", "\"\\ud800\\n\"", "\"\\ud800\\u0041\"", "\"\\udc00\\ud800\"",
            "\"\\ud800\\ud800\"", "\"\\ud83dx\"", "\"\\u-123\"",
            "\"a\nb\"", "\"a\tb\"", "\"\u{0}\"", "\"\u{1f}\"", "\"01234567890123456789\u{1}\"",
            "{\"\\x\":1}", "{\"a\tb\":1}", "{\"\\ud800\":1}",
        ]
    )
    func invalid(text: String) {
        let error = #expect(throws: DecodingError.self) { try value(JSONValue.self, text) }
        #expect(error.map(summary) != "")
    }

    @Test(
        "Bytes that are not UTF-8 are refused",
        arguments: [
            [0x80], [0xc3], [0xc0, 0xaf], [0xe2, 0x82], [0xed, 0xa0, 0x80], [0xf4, 0x90, 0x80, 0x80], [0xff],
            [0xf8, 0x88, 0x80, 0x80, 0x80],
            [0x61, 0x62, 0x63, 0x64, 0x65, 0x66, 0x67, 0x68, 0xfe],
        ] as [[UInt8]]
    )
    func invalidUTF8(bytes: [UInt8]) {
        let quote = UInt8(ascii: "\"")
        let texts = [
            [quote] + bytes + [quote], [quote] + Array("\\n".utf8) + bytes + [quote],
            Array("{\"".utf8) + bytes + Array("\":1}".utf8),
        ]
        for text in texts {
            #expect(throws: DecodingError.self) { try EventJSONDecoder().decode(JSONValue.self, from: text) }
        }
        #expect(throws: DecodingError.self) { try EventJSONDecoder().decode(JSONValue.self, from: bytes) }
    }

    @Test("A comma after the last element or member is accepted", arguments: ["[1,]", "[1 , ]"])
    func trailingComma(text: String) throws {
        #expect(try value([Int].self, text) == [1])
        #expect(try value([String: Int].self, #"{"a":1,}"#) == ["a": 1])
    }

    @Test("If names of members are equal, the first member counts")
    func equalNames() throws {
        struct Pair: Decodable { var a: Int, b: Int }
        #expect(try value([String: Int].self, #"{"a":1,"b":2,"a":3}"#) == ["a": 1, "b": 2])
        let texts = [
            #"{"a":1,"b":2,"a":3,"b":4}"#, #"{"b":2,"b":4,"a":1,"a":3}"#, #"{"\u0061":1,"b":2,"a":3}"#,
            #"{"a":1,"a":9,"b":2}"#,
        ]
        for text in texts {
            let pair = try value(Pair.self, text)
            #expect(pair.a == 1 && pair.b == 2, "\(text)")
        }
    }

    @Test("UTF-16, UTF-32 and byte order marks are supported")
    func encodings() throws {
        let text = #"{"日":"😀"}"#
        let expected = JSONValue.object(["日": .string("😀")])
        let utf16 = Array(text.utf16)
        let utf32 = text.unicodeScalars.map(\.value)
        func bytes<Unit: FixedWidthInteger>(_ units: [Unit], bigEndian: Bool) -> [UInt8] {
            units.flatMap { unit in withUnsafeBytes(of: bigEndian ? unit.bigEndian : unit.littleEndian, Array.init) }
        }
        for bigEndian in [true, false] {
            for mark in [true, false] {
                let decoder = EventJSONDecoder()
                let short = bytes((mark ? [0xfeff] : []) + utf16, bigEndian: bigEndian)
                #expect(try decoder.decode(JSONValue.self, from: short) == expected)
                let wide = bytes((mark ? [0xfeff] : []) + utf32, bigEndian: bigEndian)
                #expect(try decoder.decode(JSONValue.self, from: wide) == expected)
            }
            #expect(try EventJSONDecoder().decode(Int.self, from: bytes(Array("7".utf16), bigEndian: bigEndian)) == 7)
            #expect(throws: DecodingError.self) {
                try EventJSONDecoder().decode(
                    JSONValue.self,
                    from: bytes([0xfeff, 0x22, 0xd800, 0x22] as [UInt16], bigEndian: bigEndian)
                )
            }
        }
        #expect(try EventJSONDecoder().decode(JSONValue.self, from: [0xef, 0xbb, 0xbf] + Array(text.utf8)) == expected)
        #expect(throws: DecodingError.self) { try EventJSONDecoder().decode(JSONValue.self, from: [0xef, 0xbb, 0xbf]) }
        #expect(throws: DecodingError.self) { try EventJSONDecoder().decode(JSONValue.self, from: [0xff, 0xfe, 0x22]) }
    }

    @Test("512 nested containers are read and written, and one more is an error")
    func depth() throws {
        func nested(_ depth: Int) -> String {
            String(repeating: "[", count: depth) + String(repeating: "]", count: depth)
        }
        let deepest = try value(JSONValue.self, nested(512))
        #expect(try text(deepest) == nested(512))
        #expect(throws: DecodingError.self) { try value(JSONValue.self, nested(513)) }
        #expect(throws: EncodingError.self) { try text(JSONValue.array([deepest])) }
        #expect(throws: EncodingError.self) { try text(JSONValue.object(["a": deepest])) }
    }

    @Test("A megabyte of brackets is an error", arguments: ["[", "{\"a\":", "[{\"a\":"])
    func brackets(piece: String) {
        let bytes = Array(String(repeating: piece, count: 1_000_000 / piece.utf8.count).utf8)
        #expect(throws: DecodingError.self) { try EventJSONDecoder().decode(JSONValue.self, from: bytes) }
    }

    @Test("A value that nobody reads does no harm, even if its content is malformed")
    func unread() throws {
        struct One: Decodable { var a: Int }
        #expect(try value(One.self, #"{"x":"\x","y":01,"a":1}"#).a == 1)
    }

    @Test("An object with many members is read in linear time, in any order")
    func manyMembers() throws {
        let count = 50_000
        let members = (0..<count).map { "\"key\($0)\":\($0)" }
        for order in [members, members.reversed()] {
            let object = try value([String: Int].self, "{" + order.joined(separator: ",") + "}")
            #expect(object.count == count)
        }
        struct Backwards: Decodable {
            var sum = 0
            init(from decoder: any Decoder) throws {
                let container = try decoder.container(keyedBy: Name.self)
                for index in (0..<50_000).reversed() {
                    sum += try container.decode(Int.self, forKey: Name(stringValue: "key\(index)"))
                }
            }
        }
        #expect(try value(Backwards.self, "{" + members.joined(separator: ",") + "}").sum == count * (count - 1) / 2)
    }
}

import EventBusJSON
import FoundationEssentials
import Synchronization
import Testing

@Suite("Strategies and errors")
struct StrategyTests {
    @Test("Names in snake case are converted to keys and back, except those of dictionaries")
    func snakeCase() throws {
        struct Names: Codable, Equatable {
            var id = 1, orderLines = 2, myURLProperty = 3, x1Y = 4
            var data = ["some_key": 1, "otherKey": 2]
        }
        var encoder = EventJSONEncoder()
        encoder.keyEncodingStrategy = .convertToSnakeCase
        let written = try text(Names(), encoder)
        #expect(written == #"{"id":1,"order_lines":2,"my_url_property":3,"x1_y":4,"data":{"otherKey":2,"some_key":1}}"#)
        let foundation = JSONEncoder()
        foundation.keyEncodingStrategy = .convertToSnakeCase
        #expect(
            try value(JSONValue.self, written)
                == EventJSONDecoder().decode(JSONValue.self, from: [UInt8](foundation.encode(Names())))
        )
        struct Read: Decodable, Equatable {
            enum CodingKeys: String, CodingKey {
                case id, orderLines, data
                case property = "_myUrlProperty_"
            }
            var id: Int
            var orderLines: Int
            var property: Int
            var data: [String: Int]
        }
        var decoder = EventJSONDecoder()
        decoder.keyDecodingStrategy = .convertFromSnakeCase
        let read = try value(
            Read.self,
            #"{"data":{"some_key":1},"_my_url_property_":3,"order_lines":2,"id":1}"#,
            decoder
        )
        #expect(read == Read(id: 1, orderLines: 2, property: 3, data: ["some_key": 1]))
        let error = #expect(throws: DecodingError.self) {
            try value([Read].self, #"[{"id":1,"order_lines":"x"}]"#, decoder)
        }
        #expect(summary(error!) == "no Int at 0.orderLines")
    }

    @Test("Custom conversions of names receive the coding path")
    func customNames() throws {
        var encoder = EventJSONEncoder()
        encoder.keyEncodingStrategy = .custom { path in
            Name(stringValue: path.map(\.stringValue).joined(separator: "/"))
        }
        struct Inner: Codable, Equatable { var b = 1 }
        struct Outer: Codable, Equatable { var a = Inner() }
        #expect(try text(Outer(), encoder) == #"{"a":{"a/b":1}}"#)
        var decoder = EventJSONDecoder()
        decoder.keyDecodingStrategy = .custom { path in
            Name(stringValue: String(path.last!.stringValue.split(separator: "/").last!))
        }
        #expect(try value(Outer.self, #"{"a":{"a/b":1}}"#, decoder) == Outer())
    }

    @Test("Names of any form are converted to keys and back as Foundation converts them")
    func anyNames() throws {
        struct One: Codable {
            var name: String
            init(_ name: String) { self.name = name }

            init(from decoder: any Decoder) throws {
                name = try decoder.container(keyedBy: Name.self).allKeys.map(\.stringValue).joined()
            }

            func encode(to encoder: any Encoder) throws {
                var container = encoder.container(keyedBy: Name.self)
                try container.encode(1, forKey: Name(stringValue: name))
            }
        }
        var encoder = EventJSONEncoder()
        encoder.keyEncodingStrategy = .convertToSnakeCase
        var decoder = EventJSONDecoder()
        decoder.keyDecodingStrategy = .convertFromSnakeCase
        let foundationEncoder = JSONEncoder()
        foundationEncoder.keyEncodingStrategy = .convertToSnakeCase
        let foundationDecoder = JSONDecoder()
        foundationDecoder.keyDecodingStrategy = .convertFromSnakeCase
        let pieces = [
            "a", "b", "word", "B", "URL", "X", "_", "__", "1", "42", "é", "É", "ß", "ǅ", "ﬁ", "日", "-", " ", "e\u{301}",
        ]
        var random = SeededGenerator(seed: 1)
        for _ in 0..<3000 {
            let count = Int.random(in: 0...6, using: &random)
            let name = (0..<count).map { _ in pieces.randomElement(using: &random) ?? "" }.joined()
            let theirText = String(decoding: try foundationEncoder.encode(One(name)), as: UTF8.self)
            #expect(try text(One(name), encoder) == theirText)
            let plain = try EventJSONEncoder().encode(One(name))
            let theirs = try foundationDecoder.decode(One.self, from: Data(plain)).name
            #expect(try decoder.decode(One.self, from: plain).name == theirs, "\(name)")
        }
    }

    @Test("Each name is converted once, however often and in whatever order the members are decoded")
    func conversions() throws {
        final class Count: Sendable { let value = Atomic(0) }
        struct Backwards: Decodable {
            init(from decoder: any Decoder) throws {
                for index in (0..<1000).reversed() {
                    let container = try decoder.container(keyedBy: Name.self)
                    #expect(try container.decode(Int.self, forKey: Name(stringValue: "key\(index)")) == index)
                }
            }
        }
        let count = Count()
        var decoder = EventJSONDecoder()
        decoder.keyDecodingStrategy = .custom { path in
            count.value.add(1, ordering: .relaxed)
            return path[path.count - 1]
        }
        let members = (0..<1000).map { "\"key\($0)\":\($0)" }
        _ = try value(Backwards.self, "{" + members.joined(separator: ",") + "}", decoder)
        #expect(count.value.load(ordering: .relaxed) == 1000)
    }

    @Test("Dates and data in each format")
    func dates() throws {
        let date = Date(timeIntervalSince1970: 1_700_000_000)
        for (encoding, decoding, expected) in [
            (.deferredToDate, .deferredToDate, "721692800"), (.secondsSince1970, .secondsSince1970, "1700000000"),
            (.millisecondsSince1970, .millisecondsSince1970, "1700000000000"),
            (.iso8601, .iso8601, #""2023-11-14T22:13:20Z""#),
            (
                .custom { date, encoder in try [date.timeIntervalSince1970].encode(to: encoder) },
                .custom { decoder in Date(timeIntervalSince1970: try [Double](from: decoder)[0]) }, "[1700000000]"
            ),
        ] as [(JSONEncoder.DateEncodingStrategy, JSONDecoder.DateDecodingStrategy, String)] {
            var encoder = EventJSONEncoder()
            encoder.dateEncodingStrategy = encoding
            var decoder = EventJSONDecoder()
            decoder.dateDecodingStrategy = decoding
            #expect(try text(["d": date], encoder) == "{\"d\":\(expected)}")
            #expect(try value([String: Date].self, "{\"d\":\(expected)}", decoder) == ["d": date])
            #expect(throws: DecodingError.self) { try value([Date].self, "[null]", decoder) }
            #expect(throws: DecodingError.self) { try value([Date].self, "[true]", decoder) }
        }
        let data = Data([0, 255, 62, 63])
        #expect(try text([data]) == #"["AP8+Pw=="]"#)
        #expect(try value([Data].self, #"["AP8+Pw=="]"#) == [data])
        #expect(
            summary(#expect(throws: DecodingError.self) { try value([Data].self, #"["AP8"]"#) }!) == "corrupted at 0"
        )
        var encoder = EventJSONEncoder()
        encoder.dataEncodingStrategy = .deferredToData
        var decoder = EventJSONDecoder()
        decoder.dataDecodingStrategy = .deferredToData
        #expect(try text(data, encoder) == "[0,255,62,63]")
        #expect(try value(Data.self, "[0,255,62,63]", decoder) == data)
    }

    @Test("URLs and UUIDs are strings")
    func identifiers() throws {
        let url = try #require(URL(string: "https://example.com/a?b=c"))
        #expect(try text([url]) == #"["https://example.com/a?b=c"]"#)
        #expect(try value([URL].self, text([url])) == [url])
        let uuid = try #require(UUID(uuidString: "01936f5e-7a2b-7c3d-8e4f-5a6b7c8d9e0f"))
        #expect(try text([uuid]) == #"["01936F5E-7A2B-7C3D-8E4F-5A6B7C8D9E0F"]"#)
        #expect(try value(UUID.self, #""01936f5e-7a2b-7c3d-8E4F-5a6b7c8d9e0\u0066""#) == uuid)
        for text in [#""01936f5e-7a2b-7c3d-8e4f-5a6b7c8d9e0""#, #""01936f5e-7a2b-7c3d-8e4f-5a6b7c8d9e0g""#, "1"] {
            #expect(throws: DecodingError.self) { try value(UUID.self, text) }
        }
    }

    private struct Tree: Codable { var name: String, kids: [Tree], map: [String: Tree]?, kind: Kind? }
    private enum Kind: String, Codable { case a }

    @Test(
        "Errors are of Foundation's types and name the same place",
        arguments: [
            #"{"name":1,"kids":[]}"#, #"{"name":"a"}"#, #"{"name":null,"kids":[]}"#, #"{"name":"a","kids":{}}"#,
            #"{"name":"a","kids":null}"#,
            #"{"name":"a","kids":[{"name":"b","kids":[{"name":"c","kids":[],"kind":"z"}]}]}"#, #"[]"#, #""x""#, "null",
            #"{"name":"a","kids":[1]}"#,
            #"{"name":"a","kids":[],"map":{"k":{"name":"b","kids":[{}]}}}"#, #"{"name":"a","kids":[null]}"#,
            #"{"name":"a","kids":[],"map":{"x y":3}}"#,
            #"{"name":"a","kids":[],"kind":7}"#, #"{"name":"\x","kids":[]}"#, "{", #"{"name":true,"kids":[]}"#,
            #"{"name":"a","kids":[{"name":[]}]}"#,
        ]
    )
    func errors(text: String) throws {
        let ours = #expect(throws: DecodingError.self) { try value(Tree.self, text) }
        let theirs = #expect(throws: DecodingError.self) { try JSONDecoder().decode(Tree.self, from: Data(text.utf8)) }
        #expect(ours.map(summary) == theirs.map(summary))
        if case .typeMismatch(_, let left) = ours, case .typeMismatch(_, let right) = theirs {
            #expect(left.debugDescription == right.debugDescription)
        }
        if case .keyNotFound(_, let left) = ours, case .keyNotFound(_, let right) = theirs {
            #expect(left.debugDescription == right.debugDescription)
        }
    }

    @Test("An invalid text is described with its position")
    func place() {
        let error = #expect(throws: DecodingError.self) { try value(JSONValue.self, "{\n  \"a\": x}") }
        guard case .dataCorrupted(let context) = error else { return }
        #expect(context.debugDescription == "The given data was not valid JSON: unexpected 'x' at line 2, column 8.")
    }

    @Test("The coding path is that of the value being coded, with the keys of its types")
    func codingPath() throws {
        struct Path: Codable {
            init() {}
            init(from decoder: any Decoder) throws {
                #expect(decoder.codingPath.map(\.stringValue) == ["a", "Index 1", "7"])
                #expect(decoder.codingPath.map(\.intValue) == [nil, 1, 7])
                #expect(decoder.codingPath.first is Holder.CodingKeys)
            }
            func encode(to encoder: any Encoder) throws {
                #expect(encoder.codingPath.map(\.stringValue) == ["a", "Index 1", "7"])
                #expect(encoder.codingPath.first is Holder.CodingKeys)
                var container = encoder.container(keyedBy: Name.self)
                var nested = container.nestedContainer(keyedBy: Name.self, forKey: "n")
                #expect(nested.codingPath.map(\.stringValue) == ["a", "Index 1", "7", "n"])
                #expect(container.superEncoder().codingPath.last?.stringValue == "super")
                try nested.encode([1], forKey: "x")
            }
        }
        struct Holder: Codable {
            enum CodingKeys: CodingKey { case a }
            var a: [[Int: Path]]
        }
        _ = try text(Holder(a: [[:], [7: Path()]]))
        _ = try value(Holder.self, #"{"a":[{},{"7":{}}]}"#)
    }

    /// An element of any kind that tries several types through nested containers.
    private struct Probing: Decodable {
        var count = 0

        init(from decoder: any Decoder) throws {
            var container = try decoder.unkeyedContainer()
            while !container.isAtEnd {
                if (try? container.decode(Bool.self)) != nil { continue }
                if (try? container.decode(String.self)) != nil { continue }
                if (try? container.decode(JSONValue.self)) != nil { count += 1 }
            }
        }
    }

    @Test("A type that fails for every element of a long array takes linear time")
    func manyFailures() throws {
        let count = 100_000
        let numbers = "[" + String(repeating: "1,", count: count) + "]"
        #expect(try value(Probing.self, numbers).count == count)
        struct Objects: Decodable {
            init(from decoder: any Decoder) throws {
                var container = try decoder.unkeyedContainer()
                while !container.isAtEnd {
                    let object = try container.nestedContainer(keyedBy: Name.self)
                    _ = try? object.decode(String.self, forKey: "a")
                }
            }
        }
        _ = try value(Objects.self, "[" + String(repeating: "{\"a\":1},", count: count) + "]")
    }

    @Test("Keys are equal if their characters are, in any Unicode normalization")
    func canonicalEquivalence() throws {
        #expect(try value([String: Int].self, "{\"e\u{301}\":1}")["é"] == 1)
        struct Accent: Decodable { var é: Int }
        #expect(try value(Accent.self, "{\"e\u{301}\":1}").é == 1)
        #expect(try value(Accent.self, "{\"\\u00e9\":1}").é == 1)
        struct Kelvin: Decodable {
            enum CodingKeys: String, CodingKey { case value = "\u{212a}" }
            var value: Int
        }
        #expect(try value(Kelvin.self, #"{"K":1}"#).value == 1)
    }
}

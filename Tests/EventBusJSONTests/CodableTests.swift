import EventBusJSON
import FoundationEssentials
import Testing

/// Custom uses of encoders and decoders by types.
@Suite("Custom coding")
struct CodableTests {
    private func roundTrip<Value: Codable & Equatable>(_ value: Value, _ expected: String) throws {
        #expect(try text(value) == expected)
        #expect(try EventBusJSONTests.value(Value.self, expected) == value)
        // Foundation writes members and elements without an order in another order, so its text is decoded instead.
        let foundation = try JSONEncoder().encode(value)
        #expect(try EventJSONDecoder().decode(Value.self, from: [UInt8](foundation)) == value)
        #expect(try JSONDecoder().decode(Value.self, from: Data(expected.utf8)) == value)
    }

    enum Shape: Codable, Equatable {
        case point
        case circle(radius: Int)
        indirect case group(Shape, Shape)
    }

    @Test("Enums with payloads")
    func enums() throws {
        try roundTrip(
            [Shape.point, .circle(radius: 2), .group(.point, .group(.circle(radius: 1), .point))],
            """
            [{"point":{}},{"circle":{"radius":2}},{"group":{"_0":{"point":{}},"_1":{"group":{"_0":{"circle":{"radius":1}},\
            "_1":{"point":{}}}}}}]
            """
        )
    }

    @Test("Members are written in the order of the type, and those of dictionaries and sets are sorted")
    func order() throws {
        struct Mixed: Codable, Equatable {
            var zebra = 1
            var apple = ["z": 1, "é": 5, "a\"": 2, "a#": 3, "a": 4, "\n": 6]
            var numbers = [10: "x", 9: "y", -1: "z"]
            var set: Set = [3, 20, 1]
            var pairs: [Shape2: Int] = [.b: 2, .a: 1]
            var doubles = [2.5: 1, 1.5: 0]
        }
        enum Shape2: String, Codable { case a, b }
        try roundTrip(
            Mixed(),
            """
            {"zebra":1,"apple":{"\\n":6,"a":4,"a\\"":2,"a#":3,"z":1,"é":5},"numbers":{"-1":"z","10":"x","9":"y"},"set":[1,20,3],\
            "pairs":["a",1,"b",2],"doubles":[1.5,0,2.5,1]}
            """
        )
    }

    @Test("Nested containers that are written to in any order")
    func nested() throws {
        struct Nested: Codable, Equatable {
            var id = 1, street = "s", city = "c", list = [1, 2], grid = [[1], []], last = true

            init() {}

            init(from decoder: any Decoder) throws {
                let container = try decoder.container(keyedBy: Name.self)
                id = try container.decode(Int.self, forKey: "id")
                let address = try container.nestedContainer(keyedBy: Name.self, forKey: "address")
                street = try address.decode(String.self, forKey: "street")
                city = try address.decode(String.self, forKey: "city")
                var elements = try container.nestedUnkeyedContainer(forKey: "list")
                list = []
                while !elements.isAtEnd { list.append(try elements.decode(Int.self)) }
                var rows = try container.nestedUnkeyedContainer(forKey: "grid")
                grid = []
                #expect(rows.count == 2)
                while !rows.isAtEnd {
                    var row = try rows.nestedUnkeyedContainer()
                    grid.append([])
                    while !row.isAtEnd { grid[grid.count - 1].append(try row.decode(Int.self)) }
                }
                last = try container.decode(Bool.self, forKey: "last")
            }

            func encode(to encoder: any Encoder) throws {
                var container = encoder.container(keyedBy: Name.self)
                var address = container.nestedContainer(keyedBy: Name.self, forKey: "address")
                try container.encode(id, forKey: "id")
                var elements = container.nestedUnkeyedContainer(forKey: "list")
                try address.encode(street, forKey: "street")
                var rows = container.nestedUnkeyedContainer(forKey: "grid")
                for row in grid {
                    var elements = rows.nestedUnkeyedContainer()
                    for element in row { try elements.encode(element) }
                }
                try container.encode(last, forKey: "last")
                for element in list { try elements.encode(element) }
                var again = container.nestedContainer(keyedBy: Name.self, forKey: "address")
                try again.encode(city, forKey: "city")
                #expect(elements.count == 2)
            }
        }
        try roundTrip(
            Nested(),
            #"{"address":{"street":"s","city":"c"},"id":1,"list":[1,2],"grid":[[1],[]],"last":true}"#
        )
    }

    class Animal: Codable {
        var name = "n"
        init() {}
    }

    final class Dog: Animal {
        var age = 3
        enum CodingKeys: CodingKey { case age, other }
        override init() { super.init() }

        required init(from decoder: any Decoder) throws {
            let container = try decoder.container(keyedBy: CodingKeys.self)
            age = try container.decode(Int.self, forKey: .age)
            try super.init(from: container.superDecoder())
            let other = try Animal(from: container.superDecoder(forKey: .other))
            #expect(other.name == name)
        }

        override func encode(to encoder: any Encoder) throws {
            var container = encoder.container(keyedBy: CodingKeys.self)
            try super.encode(to: container.superEncoder())
            let other = container.superEncoder(forKey: .other)
            try container.encode(age, forKey: .age)
            try super.encode(to: other)
        }
    }

    final class Flat: Animal {
        var age = 3
        enum CodingKeys: CodingKey { case age, name }
        override init() { super.init() }

        required init(from decoder: any Decoder) throws {
            age = try decoder.container(keyedBy: CodingKeys.self).decode(Int.self, forKey: .age)
            try super.init(from: decoder)
        }

        override func encode(to encoder: any Encoder) throws {
            var container = encoder.container(keyedBy: CodingKeys.self)
            try container.encode("overridden", forKey: .name)
            try super.encode(to: encoder)
            try container.encode(age, forKey: .age)
        }
    }

    @Test("Classes with their own container for the superclass or a shared one")
    func classes() throws {
        let dog = #"{"super":{"name":"n"},"other":{"name":"n"},"age":3}"#
        #expect(try text(Dog()) == dog)
        let again = try value(Dog.self, dog)
        #expect(again.age == 3 && again.name == "n")
        #expect(try text(Flat()) == #"{"name":"n","age":3}"#)
        #expect(try value(Flat.self, #"{"age":4,"name":"x"}"#).name == "x")
    }

    @Test("The superclass of an object without a member for it decodes from null")
    func absentSuper() {
        struct Absent: Decodable {
            init(from decoder: any Decoder) throws {
                let decoder = try decoder.container(keyedBy: Name.self).superDecoder()
                #expect(decoder.codingPath.map(\.stringValue) == ["super"])
                #expect(try decoder.singleValueContainer().decodeNil())
                _ = try decoder.container(keyedBy: Name.self)
            }
        }
        #expect(summary(#expect(throws: DecodingError.self) { try value(Absent.self, "{}") }!).hasSuffix(" at super"))
    }

    @Test("Absent and null optionals")
    func optionals() throws {
        struct Optionals: Codable, Equatable {
            var a: Int?, b: String?, c: [Int?]?, d: Double??, e: Date?, f: Shape?
        }
        for text in ["{}", #"{"a":null,"b":null,"c":null,"d":null,"e":null,"f":null}"#] {
            #expect(try value(Optionals.self, text) == Optionals())
        }
        try roundTrip(
            Optionals(a: 1, b: "", c: [1, nil], d: 1.5, e: Date(timeIntervalSinceReferenceDate: 2), f: .point),
            #"{"a":1,"b":"","c":[1,null],"d":1.5,"e":2,"f":{"point":{}}}"#
        )
        #expect(try value(Int?.self, "null") == nil)
        #expect(try text(Int?.none) == "null")
        struct Null: Decodable {
            init(from decoder: any Decoder) throws {
                let container = try decoder.container(keyedBy: Name.self)
                #expect(try container.decodeNil(forKey: "a"))
                #expect(try !container.decodeNil(forKey: "b"))
                #expect(container.contains("a") && !container.contains("c"))
                #expect(container.allKeys.map(\.stringValue) == ["a", "b"])
                #expect(throws: DecodingError.self) { try container.decodeNil(forKey: "c") }
            }
        }
        _ = try value(Null.self, #"{"a":null,"b":1}"#)
    }

    @Test("Wrappers around a single value")
    func wrappers() throws {
        struct Wrapper<Value: Codable & Equatable>: Codable, Equatable {
            var value: Value
            init(_ value: Value) { self.value = value }
            init(from decoder: any Decoder) throws { value = try decoder.singleValueContainer().decode(Value.self) }
            func encode(to encoder: any Encoder) throws {
                var container = encoder.singleValueContainer()
                try container.encode(value)
            }
        }
        try roundTrip([Wrapper(1)], "[1]")
        try roundTrip(Wrapper(Wrapper("a")), #""a""#)
        try roundTrip(["k": Wrapper([Wrapper(["x": 1.5])])], #"{"k":[{"x":1.5}]}"#)
        try roundTrip(Wrapper(Int?.none), "null")
    }

    @Test("Dictionaries whose keys are not strings")
    func dictionaries() throws {
        enum Key: String, Codable, CodingKeyRepresentable { case one, two }
        struct Pair: Codable, Hashable { var a: Int }
        try roundTrip([1: "a", -2: "b"], #"{"-2":"b","1":"a"}"#)
        try roundTrip([Key.two: 2, .one: 1], #"{"one":1,"two":2}"#)
        try roundTrip([Pair(a: 2): [1], Pair(a: 1): []], #"[{"a":1},[],{"a":2},[1]]"#)
        try roundTrip([String: Int](), "{}")
        try roundTrip([Pair: Int](), "[]")
    }

    @Test("A decoding that reads a member twice, in any order, and as another type after a failure")
    func readTwice() throws {
        struct Twice: Decodable {
            init(from decoder: any Decoder) throws {
                for _ in 0..<2 {
                    let container = try decoder.container(keyedBy: Name.self)
                    for key in ["c", "a", "b", "a", "c"] {
                        #expect(
                            try container.decode(Int.self, forKey: Name(stringValue: key)) == Int(key.utf8.first! - 96)
                        )
                        #expect(throws: DecodingError.self) {
                            try container.decode(String.self, forKey: Name(stringValue: key))
                        }
                        #expect(try container.decodeIfPresent(Double.self, forKey: Name(stringValue: key)) != nil)
                    }
                }
                let elements = try decoder.container(keyedBy: Name.self).decode([JSONValue].self, forKey: "d")
                #expect(elements == [.integer(1), .string("x")])
                var unkeyed = try decoder.container(keyedBy: Name.self).nestedUnkeyedContainer(forKey: "d")
                #expect(throws: DecodingError.self) { try unkeyed.decode(String.self) }
                #expect(unkeyed.currentIndex == 0)
                #expect(try unkeyed.decode(Int.self) == 1)
                #expect(try !unkeyed.decodeNil())
                #expect(try unkeyed.decodeIfPresent(String.self) == "x")
                #expect(unkeyed.isAtEnd)
                #expect(throws: DecodingError.self) { try unkeyed.decode(Int.self) }
                #expect(try unkeyed.decodeIfPresent(Int.self) == nil)
            }
        }
        _ = try value(Twice.self, #"{"a":1,"b":2,"c":3,"d":[1,"x"]}"#)
    }

    @Test("A member that is encoded twice is written once, with the last value")
    func encodedTwice() throws {
        struct Twice: Encodable {
            var count: Int
            func encode(to encoder: any Encoder) throws {
                var container = encoder.container(keyedBy: Name.self)
                for round in 0..<2 {
                    for index in 0..<count {
                        try container.encode(index + round, forKey: Name(stringValue: "k\(index)"))
                    }
                }
            }
        }
        #expect(try text(Twice(count: 3)) == #"{"k0":1,"k1":2,"k2":3}"#)
        #expect(try value([String: Int].self, text(Twice(count: 1000))).count == 1000)
        #expect(try text(Twice(count: 20_000)).utf8.count < 400_000)
    }

    @Test("A member whose encoding fails and is given up leaves the text unchanged")
    func givenUp() throws {
        struct Failing: Encodable {
            func encode(to encoder: any Encoder) throws {
                var container = encoder.container(keyedBy: Name.self)
                var nested = container.nestedUnkeyedContainer(forKey: "n")
                try nested.encode(1)
                try container.encode(Double.nan, forKey: "x")
            }
        }
        struct Careful: Encodable {
            func encode(to encoder: any Encoder) throws {
                var container = encoder.container(keyedBy: Name.self)
                try? container.encode(Double.nan, forKey: "a")
                try? container.encode(Failing(), forKey: "b")
                try container.encode(1, forKey: "c")
                try? container.encode([1, .nan], forKey: "d")
                var nested = container.nestedUnkeyedContainer(forKey: "e")
                try? nested.encode(Failing())
                try nested.encode(2)
            }
        }
        #expect(try text(Careful()) == #"{"c":1,"e":[2]}"#)
    }

    @Test("An encoding that encodes nothing is an empty object, or an error at the top level")
    func nothing() throws {
        struct Nothing: Encodable { func encode(to encoder: any Encoder) throws {} }
        #expect(try text([Nothing()]) == "[{}]")
        #expect(try text(["a": Nothing()]) == #"{"a":{}}"#)
        #expect(throws: EncodingError.self) { try text(Nothing()) }
    }

    @Test("An object is continued after it was encoded as a single value or by another type")
    func continued() throws {
        struct Base: Encodable { var a = 1, b = [2] }
        struct Extended: Encodable {
            func encode(to encoder: any Encoder) throws {
                var single = encoder.singleValueContainer()
                try single.encode(Base())
                var container = encoder.container(keyedBy: Name.self)
                try container.encode(3, forKey: "a")
                var nested = container.nestedUnkeyedContainer(forKey: "b")
                try nested.encode(4)
                try ["z": 1, "y": 2].encode(to: encoder)
            }
        }
        #expect(try text(Extended()) == #"{"a":3,"b":[2,4],"y":2,"z":1}"#)
    }

    @Test("Misuse of an encoder is an error and not a crash")
    func misuse() throws {
        struct Two: Encodable {
            func encode(to encoder: any Encoder) throws {
                _ = encoder.container(keyedBy: Name.self)
                _ = encoder.unkeyedContainer()
            }
        }
        struct Again: Encodable {
            func encode(to encoder: any Encoder) throws {
                var container = encoder.singleValueContainer()
                try container.encode(1)
                try container.encode(2)
            }
        }
        final class Keeper: Encodable {
            nonisolated(unsafe) static var kept: (any UnkeyedEncodingContainer)?
            func encode(to encoder: any Encoder) throws { Keeper.kept = encoder.unkeyedContainer() }
        }
        #expect(throws: EncodingError.self) { try text([Two()]) }
        #expect(throws: EncodingError.self) { try text(Again()) }
        #expect(try text(Keeper()) == "[]")
        #expect(throws: EncodingError.self) { try Keeper.kept?.encode(1) }
    }

    @Test("A decoder that outlives the decoding still reads")
    func outlives() throws {
        struct Late: Decodable {
            var decoder: any Decoder
            init(from decoder: any Decoder) throws { self.decoder = decoder }
        }
        var bytes = Array(#"{"a":["a long string that needs memory"]}"#.utf8)
        let late = try EventJSONDecoder().decode(Late.self, from: bytes)
        for index in bytes.indices { bytes[index] = 0 }
        #expect(try [String: [String]](from: late.decoder) == ["a": ["a long string that needs memory"]])
    }

    @Test("User info reaches the types")
    func userInfo() throws {
        struct Reader: Codable, Equatable {
            static let key = CodingUserInfoKey(rawValue: "key")!
            var found: String
            init(from decoder: any Decoder) throws { found = decoder.userInfo[Self.key] as? String ?? "" }
            init(found: String) { self.found = found }
            func encode(to encoder: any Encoder) throws {
                try (encoder.userInfo[Self.key] as? String).encode(to: encoder)
            }
        }
        var encoder = EventJSONEncoder()
        encoder.userInfo[Reader.key] = "x"
        var decoder = EventJSONDecoder()
        decoder.userInfo[Reader.key] = "y"
        #expect(try text([Reader(found: "")], encoder) == #"["x"]"#)
        #expect(try value([Reader].self, "[1]", decoder) == [Reader(found: "y")])
    }
}

import FoundationEssentials

/// The outcomes of decoding the values of an object's members `a` and `b` as `Value` in every way that containers offer.
struct Places<Value: Decodable & Equatable>: Decodable {
    /// The outcomes that contain a value of the type.
    private(set) var values: [Outcome<Value?>] = []
    /// The outcomes of all other questions to the containers.
    private(set) var answers: [Outcome<[String]>] = []

    /// Returns the text that is decoded as `Places` to find `value` in every place.
    static func text(_ value: String) -> String { #"{"a":\#(value),"b":[\#(value),\#(value)],"c":{"d":\#(value)}}"# }

    init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: Name.self)
        readMembers(of: container)
        readElements(of: container)
        readNested(in: container)
    }

    private mutating func add(_ body: () throws -> Value?) { values.append(Outcome(body)) }
    private mutating func ask(_ body: () throws -> [String]) { answers.append(Outcome(body)) }

    private mutating func readMembers(of container: KeyedDecodingContainer<Name>) {
        add { try container.decode(Value.self, forKey: "a") }
        add { try container.decode(Value.self, forKey: "absent") }
        add { try container.decode(Value?.self, forKey: "a") }
        add { try container.decodeIfPresent(Value.self, forKey: "a") }
        add { try container.decodeIfPresent(Value.self, forKey: "absent") }
        add { try Value(from: container.superDecoder(forKey: "a")) }
        add { try Value(from: container.superDecoder(forKey: "absent")) }
        add { try Value(from: container.superDecoder()) }
        add { try container.superDecoder(forKey: "a").singleValueContainer().decode(Value.self) }
        ask { ["\(try container.decodeNil(forKey: "a"))"] }
        ask { ["\(try container.decodeNil(forKey: "absent"))"] }
        ask { ["\(container.contains("a")) \(container.contains("absent"))"] }
        ask { container.allKeys.map(\.stringValue).sorted() }
        ask { ["\(try container.superDecoder(forKey: "a").singleValueContainer().decodeNil())"] }
        ask { try container.superDecoder(forKey: "a").codingPath.map(\.stringValue) }
    }

    private mutating func readElements(of container: KeyedDecodingContainer<Name>) {
        guard var elements = try? container.nestedUnkeyedContainer(forKey: "b") else { return ask { ["no elements"] } }
        add { try elements.decode(Value.self) }
        ask { ["\(elements.currentIndex) \(elements.count ?? -1) \(elements.isAtEnd)"] }
        ask { ["\(try elements.decodeNil()) \(elements.currentIndex)"] }
        if !elements.isAtEnd { add { try elements.decodeIfPresent(Value.self) } }
        ask { ["\(elements.currentIndex) \(elements.isAtEnd) \(elements.codingPath.map(\.stringValue))"] }
        if elements.isAtEnd {
            add { try elements.decode(Value.self) }
            ask { ["\(try elements.decodeNil())"] }
            // Foundation then moves beyond the end, so nothing is asked afterwards.
            add { try elements.decodeIfPresent(Value.self) }
        }
        guard var again = try? container.nestedUnkeyedContainer(forKey: "b") else { return }
        add { try Value(from: again.superDecoder()) }
        ask { try again.superDecoder().codingPath.map(\.stringValue) }
        ask { try again.superDecoder().codingPath.map(\.stringValue) }
    }

    private mutating func readNested(in container: KeyedDecodingContainer<Name>) {
        ask { try container.nestedContainer(keyedBy: Name.self, forKey: "a").allKeys.map(\.stringValue).sorted() }
        ask { try container.nestedContainer(keyedBy: Name.self, forKey: "absent").allKeys.map(\.stringValue) }
        ask { ["\(try container.nestedUnkeyedContainer(forKey: "a").count ?? -1)"] }
        ask { ["\(try container.nestedUnkeyedContainer(forKey: "absent").count ?? -1)"] }
        add { try container.nestedContainer(keyedBy: Name.self, forKey: "c").decode(Value.self, forKey: "d") }
        add { try container.nestedContainer(keyedBy: Name.self, forKey: "c").decode(Value.self, forKey: "absent") }
        ask {
            var elements = try container.nestedUnkeyedContainer(forKey: "b")
            let first = try elements.nestedContainer(keyedBy: Name.self)
            return first.allKeys.map(\.stringValue).sorted() + first.codingPath.map(\.stringValue)
        }
        ask {
            var elements = try container.nestedUnkeyedContainer(forKey: "b")
            let first = try elements.nestedUnkeyedContainer()
            return ["\(first.count ?? -1) \(elements.currentIndex)"] + first.codingPath.map(\.stringValue)
        }
    }
}

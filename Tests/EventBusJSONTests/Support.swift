import EventBusJSON
import FoundationEssentials

/// Any JSON value.
enum JSONValue: Codable, Hashable {
    case null
    case bool(Bool)
    case integer(Int64)
    case number(Double)
    case string(String)
    case array([JSONValue])
    case object([String: JSONValue])

    init(from decoder: any Decoder) throws {
        if let container = try? decoder.container(keyedBy: Name.self) {
            var members: [String: JSONValue] = [:]
            for key in container.allKeys {
                members[key.stringValue] = try container.decode(JSONValue.self, forKey: key)
            }
            self = .object(members)
        } else if var container = try? decoder.unkeyedContainer() {
            var elements: [JSONValue] = []
            while !container.isAtEnd { elements.append(try container.decode(JSONValue.self)) }
            self = .array(elements)
        } else {
            let container = try decoder.singleValueContainer()
            if container.decodeNil() {
                self = .null
            } else if let bool = try? container.decode(Bool.self) {
                self = .bool(bool)
            } else if let integer = try? container.decode(Int64.self) {
                self = .integer(integer)
            } else if let number = try? container.decode(Double.self) {
                self = .number(number)
            } else {
                self = .string(try container.decode(String.self))
            }
        }
    }

    func encode(to encoder: any Encoder) throws {
        switch self {
        case .object(let members):
            var container = encoder.container(keyedBy: Name.self)
            for (name, value) in members.sorted(by: { $0.key < $1.key }) {
                try container.encode(value, forKey: Name(stringValue: name))
            }
        case .array(let elements):
            var container = encoder.unkeyedContainer()
            for element in elements { try container.encode(element) }
        case .null:
            var container = encoder.singleValueContainer()
            try container.encodeNil()
        case .bool(let value):
            var container = encoder.singleValueContainer()
            try container.encode(value)
        case .integer(let value):
            var container = encoder.singleValueContainer()
            try container.encode(value)
        case .number(let value):
            var container = encoder.singleValueContainer()
            try container.encode(value)
        case .string(let value):
            var container = encoder.singleValueContainer()
            try container.encode(value)
        }
    }
}

extension JSONValue {
    /// The value with every integer as a `Double`, which Foundation uses for an integer with a fraction.
    var rounded: JSONValue {
        switch self {
        case .integer(let integer): .number(Double(integer))
        case .array(let elements): .array(elements.map(\.rounded))
        case .object(let members): .object(members.mapValues(\.rounded))
        default: self
        }
    }
}

/// A key of any name.
struct Name: CodingKey, ExpressibleByStringLiteral {
    var stringValue: String
    var intValue: Int? { nil }

    init(stringValue: String) { self.stringValue = stringValue }
    init?(intValue: Int) { nil }
    init(stringLiteral value: String) { stringValue = value }
}

func text(_ value: some Encodable, _ encoder: EventJSONEncoder = EventJSONEncoder()) throws -> String {
    String(decoding: try encoder.encode(value), as: UTF8.self)
}

func value<Value: Decodable>(
    _ type: Value.Type = Value.self,
    _ text: String,
    _ decoder: EventJSONDecoder = EventJSONDecoder()
) throws -> Value {
    try decoder.decode(type, from: Array(text.utf8))
}

/// The kind and the coding path of a coding error, in the form `kind at a.b.0`.
func summary(_ error: any Error) -> String {
    func path(_ context: [any CodingKey]) -> String {
        context.map { $0.intValue.map(String.init) ?? $0.stringValue }.joined(separator: ".")
    }
    switch error {
    case DecodingError.dataCorrupted(let context): return "corrupted at \(path(context.codingPath))"
    case DecodingError.keyNotFound(let key, let context):
        return "no \(key.stringValue) at \(path(context.codingPath))"
    case DecodingError.typeMismatch(let type, let context): return "no \(type) at \(path(context.codingPath))"
    case DecodingError.valueNotFound(let type, let context): return "null \(type) at \(path(context.codingPath))"
    case EncodingError.invalidValue(_, let context): return "invalid at \(path(context.codingPath))"
    // Both coders throw an error of their own for a malformed value, and replace it at the end of the decoding.
    default: return "malformed"
    }
}

/// A generator that returns the same numbers for the same seed (SplitMix64).
struct SeededGenerator: RandomNumberGenerator {
    private var state: UInt64

    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var mixed = (state ^ (state >> 30)) &* 0xbf58_476d_1ce4_e5b9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94d0_49bb_1331_11eb
        return mixed ^ (mixed >> 31)
    }
}

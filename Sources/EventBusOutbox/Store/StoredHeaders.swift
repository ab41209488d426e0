internal import EventBus
internal import EventBusJSON
internal import Foundation

/// The headers of an event as a JSON text. Each value is stored under the name of its kind, so that its type is kept.
struct StoredHeaders: Codable {
    private let values: [String: StoredValue]

    /// Returns the text for `headers`, or `nil` if there are none.
    static func text(for headers: EventHeaders) throws -> String? {
        if headers.isEmpty { return nil }
        var encoder = EventJSONEncoder()
        encoder.nonConformingFloatEncodingStrategy = .outbox
        let stored = StoredHeaders(values: headers.values.mapValues(StoredValue.init))
        return String(decoding: try encoder.encode(stored), as: UTF8.self)
    }

    /// Returns the headers that `text` contains.
    static func headers(from text: String?) throws -> EventHeaders {
        guard let text else { return [:] }
        var decoder = EventJSONDecoder()
        decoder.nonConformingFloatDecodingStrategy = .outbox
        return EventHeaders(try decoder.decode(StoredHeaders.self, from: Array(text.utf8)).values.mapValues(\.value))
    }
}

private struct StoredValue: Codable {
    enum Kind: String, CodingKey {
        case string, int, double, bool, bytes, timestamp, array, table, null
    }

    let value: HeaderValue

    init(_ value: HeaderValue) {
        self.value = value
    }

    init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: Kind.self)
        switch container.allKeys.first {
        case .string: value = .string(try container.decode(String.self, forKey: .string))
        case .int: value = .int(try container.decode(Int64.self, forKey: .int))
        case .double: value = .double(try container.decode(Double.self, forKey: .double))
        case .bool: value = .bool(try container.decode(Bool.self, forKey: .bool))
        case .bytes: value = .bytes(Array(try container.decode(Data.self, forKey: .bytes)))
        case .timestamp: value = .timestamp(seconds: try container.decode(Int64.self, forKey: .timestamp))
        case .array: value = .array(try container.decode([StoredValue].self, forKey: .array).map(\.value))
        case .table: value = .table(try container.decode([String: StoredValue].self, forKey: .table).mapValues(\.value))
        case .null: value = .null
        case nil:
            throw DecodingError.dataCorrupted(
                DecodingError.Context(codingPath: decoder.codingPath, debugDescription: "a header of no known kind")
            )
        }
    }

    func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: Kind.self)
        switch value {
        case .string(let text): try container.encode(text, forKey: .string)
        case .int(let number): try container.encode(number, forKey: .int)
        case .double(let number): try container.encode(number, forKey: .double)
        case .bool(let flag): try container.encode(flag, forKey: .bool)
        case .bytes(let bytes): try container.encode(Data(bytes), forKey: .bytes)
        case .timestamp(let seconds): try container.encode(seconds, forKey: .timestamp)
        case .array(let values): try container.encode(values.map(StoredValue.init), forKey: .array)
        case .table(let values): try container.encode(values.mapValues(StoredValue.init), forKey: .table)
        case .null: try container.encode(true, forKey: .null)
        }
    }
}

extension JSONEncoder.NonConformingFloatEncodingStrategy {
    fileprivate static var outbox: Self {
        .convertToString(positiveInfinity: "inf", negativeInfinity: "-inf", nan: "nan")
    }
}

extension JSONDecoder.NonConformingFloatDecodingStrategy {
    fileprivate static var outbox: Self {
        .convertFromString(positiveInfinity: "inf", negativeInfinity: "-inf", nan: "nan")
    }
}

package import EventBus
internal import EventBusJSON
internal import Foundation

/// The headers of an event as a JSON text. Each value is stored under the name of its kind, so that its type is kept.
package struct StoredHeaders: Codable {
    /// The reserved header that stores the content encoding, because the table has no column for it.
    private static let contentEncoding = "x-eventbus-content-encoding"

    private let values: StoredTable

    /// Returns the text for the headers of `envelope` and its content encoding, or `nil` if it has neither.
    package static func text(for envelope: Envelope) throws -> String? {
        var headers = envelope.headers
        if let encoding = envelope.contentEncoding { headers[contentEncoding] = .string(encoding) }
        return try text(for: headers)
    }

    /// Returns the headers and the content encoding that `text` contains.
    package static func read(_ text: String?) throws -> (headers: EventHeaders, contentEncoding: String?) {
        var headers = try headers(from: text)
        let encoding = headers[contentEncoding]?.string
        headers[contentEncoding] = nil
        return (headers, encoding)
    }

    /// Returns the text for `headers`, or `nil` if there are none.
    static func text(for headers: EventHeaders) throws -> String? {
        if headers.isEmpty { return nil }
        var encoder = EventJSONEncoder()
        encoder.nonConformingFloatEncodingStrategy = .outbox
        let stored = StoredHeaders(values: StoredTable(table: headers.values))
        return String(decoding: try encoder.encode(stored), as: UTF8.self)
    }

    /// Returns the headers that `text` contains.
    static func headers(from text: String?) throws -> EventHeaders {
        guard let text else { return [:] }
        var decoder = EventJSONDecoder()
        decoder.nonConformingFloatDecodingStrategy = .outbox
        return EventHeaders(try decoder.decode(StoredHeaders.self, from: Array(text.utf8)).values.table)
    }
}

/// A table as a JSON object, or as a list of its members if an object cannot distinguish their names.
private struct StoredTable: Codable {
    private struct Member: Codable {
        let name: String
        let value: StoredValue
    }

    let table: HeaderTable

    init(table: HeaderTable) {
        self.table = table
    }

    init(from decoder: any Decoder) throws {
        var table = HeaderTable()
        let container = try decoder.singleValueContainer()
        do {
            for (name, value) in try container.decode([String: StoredValue].self) { table[name] = value.value }
        } catch {
            guard let members = try? container.decode([Member].self) else { throw error }
            for member in members { table[member.name] = member.value.value }
        }
        self.table = table
    }

    func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        let values = Dictionary(table.map { ($0.name, StoredValue($0.value)) }, uniquingKeysWith: { first, _ in first })
        if values.count == table.count {
            try container.encode(values)
        } else {
            // A coder of JSON compares names as Swift strings, and keeps one of two that differ in normalization only.
            try container.encode(table.map { Member(name: $0.name, value: StoredValue($0.value)) })
        }
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
        case .table: value = .table(try container.decode(StoredTable.self, forKey: .table).table)
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
        case .table(let values): try container.encode(StoredTable(table: values), forKey: .table)
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

import FoundationEssentials

/// Events as plain JSON, the default: any client in any language can read and write them.
///
/// Dates are RFC 3339 strings in UTC with milliseconds, data is Base64, slashes are not escaped, and keys are sorted:
/// equal events have equal bytes, in every process.
public struct JSONEventCodec: EventCodec {
    // Both are immutable after `init`, and documented as safe to share from then on.
    private let encoder: JSONEncoder
    private let decoder: JSONDecoder

    /// A codec for plain JSON.
    public init() {
        encoder = JSONEncoder()
        // Sorted, since keys would otherwise come in another order in every process: the same event, the same bytes.
        encoder.outputFormatting = [.withoutEscapingSlashes, .sortedKeys]
        encoder.dateEncodingStrategy = .custom { date, encoder in
            let milliseconds = (date.timeIntervalSince1970 * 1000).rounded()
            guard let exact = Int64(exactly: milliseconds) else {
                throw EncodingError.invalidValue(
                    date,
                    .init(codingPath: encoder.codingPath, debugDescription: "the date is out of range")
                )
            }
            try EventTime(milliseconds: exact).encode(to: encoder)
        }
        decoder = JSONDecoder()
        decoder.dateDecodingStrategy = .custom { decoder in
            let time = try EventTime(from: decoder)
            return Date(timeIntervalSince1970: Double(time.milliseconds) / 1000)
        }
    }

    /// `application/json`.
    public var contentType: String { "application/json" }

    /// The JSON text of `value` in UTF-8.
    public func encode<Value: Encodable>(_ value: Value) throws -> [UInt8] {
        [UInt8](try encoder.encode(value))
    }

    /// The value that the JSON text in `bytes` stands for.
    public func decode<Value: Decodable>(_ type: Value.Type, from bytes: [UInt8]) throws -> Value {
        try decoder.decode(type, from: Data(bytes))
    }
}

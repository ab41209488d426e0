internal import EventBusJSON

#if canImport(FoundationEssentials)
public import FoundationEssentials
#else
public import Foundation
#endif

/// A codec for plain JSON, which is the default because clients in any language can read and write it.
///
/// Members are written in the order of the type's properties, those of dictionaries are sorted by key, and the elements
/// of sets are sorted. Equal events therefore have equal bytes in every process. Dates are RFC 3339 strings in UTC with
/// milliseconds, and data is Base64. The properties below select other formats. They are those of Foundation's coders.
///
/// ```swift
/// var configuration = EventBusConfiguration()
/// var codec = JSONEventCodec()
/// codec.keyEncodingStrategy = .convertToSnakeCase
/// codec.keyDecodingStrategy = .convertFromSnakeCase
/// configuration.codec = codec
/// ```
///
/// See <doc:EventsAsJSON> for all rules.
public struct JSONEventCodec: EventCodec {
    private var encoder: EventJSONEncoder
    private var decoder: EventJSONDecoder
    /// A Boolean value indicating whether every strategy is the default one.
    private(set) var isDefault = true

    /// Creates a codec for plain JSON.
    public init() {
        encoder = EventJSONEncoder()
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
        decoder = EventJSONDecoder()
        decoder.dateDecodingStrategy = .custom { decoder in
            let time = try EventTime(from: decoder)
            return Date(timeIntervalSince1970: Double(time.milliseconds) / 1000)
        }
    }

    /// The conversion of coding keys to names in the JSON text. The keys of dictionaries are never converted.
    /// Defaults to `.useDefaultKeys`.
    public var keyEncodingStrategy: JSONEncoder.KeyEncodingStrategy {
        get { encoder.keyEncodingStrategy }
        set { (encoder.keyEncodingStrategy, isDefault) = (newValue, false) }
    }

    /// The conversion of names in the JSON text to coding keys. The keys of dictionaries are never converted.
    /// Defaults to `.useDefaultKeys`.
    public var keyDecodingStrategy: JSONDecoder.KeyDecodingStrategy {
        get { decoder.keyDecodingStrategy }
        set { (decoder.keyDecodingStrategy, isDefault) = (newValue, false) }
    }

    /// The format in which dates are written. Defaults to RFC 3339 strings in UTC with milliseconds.
    public var dateEncodingStrategy: JSONEncoder.DateEncodingStrategy {
        get { encoder.dateEncodingStrategy }
        set { (encoder.dateEncodingStrategy, isDefault) = (newValue, false) }
    }

    /// The format in which dates are read. Defaults to RFC 3339 strings.
    public var dateDecodingStrategy: JSONDecoder.DateDecodingStrategy {
        get { decoder.dateDecodingStrategy }
        set { (decoder.dateDecodingStrategy, isDefault) = (newValue, false) }
    }

    /// The format in which data is written. Defaults to `.base64`.
    public var dataEncodingStrategy: JSONEncoder.DataEncodingStrategy {
        get { encoder.dataEncodingStrategy }
        set { (encoder.dataEncodingStrategy, isDefault) = (newValue, false) }
    }

    /// The format in which data is read. Defaults to `.base64`.
    public var dataDecodingStrategy: JSONDecoder.DataDecodingStrategy {
        get { decoder.dataDecodingStrategy }
        set { (decoder.dataDecodingStrategy, isDefault) = (newValue, false) }
    }

    /// The format in which infinities and NaN are written, which JSON has no numbers for. Defaults to `.throw`.
    public var nonConformingFloatEncodingStrategy: JSONEncoder.NonConformingFloatEncodingStrategy {
        get { encoder.nonConformingFloatEncodingStrategy }
        set { (encoder.nonConformingFloatEncodingStrategy, isDefault) = (newValue, false) }
    }

    /// The format in which infinities and NaN are read. Defaults to `.throw`.
    public var nonConformingFloatDecodingStrategy: JSONDecoder.NonConformingFloatDecodingStrategy {
        get { decoder.nonConformingFloatDecodingStrategy }
        set { (decoder.nonConformingFloatDecodingStrategy, isDefault) = (newValue, false) }
    }

    /// The content type `application/json`.
    public var contentType: String { "application/json" }

    /// Returns the JSON text of `value` in UTF-8.
    ///
    /// - Throws: `EncodingError`, or any error that the type's own `encode(to:)` throws.
    public func encode<Value: Encodable>(_ value: Value) throws -> [UInt8] {
        try encoder.encode(value)
    }

    /// Returns the value that is decoded from the JSON text in `bytes`.
    ///
    /// - Throws: `DecodingError`, or any error that the type's own `init(from:)` throws.
    public func decode<Value: Decodable>(_ type: Value.Type, from bytes: [UInt8]) throws -> Value {
        try decoder.decode(type, from: bytes)
    }
}

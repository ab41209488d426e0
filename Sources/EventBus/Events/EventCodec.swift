/// A codec that encodes events and decodes them.
///
/// ```swift
/// struct PropertyListCodec: EventCodec {
///     let contentType = "application/x-plist"
///
///     func encode<Value: Encodable>(_ value: Value) throws -> [UInt8] {
///         [UInt8](try PropertyListEncoder().encode(value))
///     }
///
///     func decode<Value: Decodable>(_ type: Value.Type, from bytes: [UInt8]) throws -> Value {
///         try PropertyListDecoder().decode(type, from: Data(bytes))
///     }
/// }
/// ```
///
/// A bus encodes with its configured codec, and decodes with the codec whose ``contentType`` matches that of the
/// envelope. Implementations are called from many tasks at once.
public protocol EventCodec: Sendable {
    /// The media type of the codec's output, such as `application/json`.
    var contentType: String { get }

    /// Returns the encoded bytes of `value`.
    func encode<Value: Encodable>(_ value: Value) throws -> [UInt8]

    /// Returns the value that is decoded from `bytes`.
    func decode<Value: Decodable>(_ type: Value.Type, from bytes: [UInt8]) throws -> Value
}

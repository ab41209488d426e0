/// Turns events into bytes and back.
///
/// A bus encodes with its configured codec and decodes with whichever of its codecs has the ``contentType`` that an
/// envelope names. Implementations are called from many tasks at once.
public protocol EventCodec: Sendable {
    /// The media type of what this codec writes, such as `application/json`.
    var contentType: String { get }

    /// The bytes of `value`.
    func encode<Value: Encodable>(_ value: Value) throws -> [UInt8]

    /// The value that `bytes` stand for.
    func decode<Value: Decodable>(_ type: Value.Type, from bytes: [UInt8]) throws -> Value
}

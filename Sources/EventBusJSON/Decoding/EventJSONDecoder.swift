package import FoundationEssentials

/// Decodes values from JSON texts.
///
/// Rules, where RFC 8259 leaves a choice:
/// - A text is UTF-8, or UTF-16 or UTF-32 in either byte order; a byte order mark is skipped.
/// - Of members with equal names, the first counts.
/// - A comma behind the last element or member is accepted. Other bytes behind the value are an error.
/// - Arrays and objects nest at most 512 deep.
/// - The contents of strings and numbers are checked when they are decoded.
/// - An integer type takes any number with an integer value that it can hold, `1e3` and `2.0` included. A floating-point
///   type takes the nearest value; a number that would become infinite, or zero without being zero, is an error.
package struct EventJSONDecoder: Sendable {
    /// The conversion of names in the text to keys. The keys of dictionaries are never converted.
    /// Defaults to `.useDefaultKeys`.
    package var keyDecodingStrategy: JSONDecoder.KeyDecodingStrategy = .useDefaultKeys
    /// The form of dates. Defaults to `.deferredToDate`.
    package var dateDecodingStrategy: JSONDecoder.DateDecodingStrategy = .deferredToDate
    /// The form of data. Defaults to `.base64`.
    package var dataDecodingStrategy: JSONDecoder.DataDecodingStrategy = .base64
    /// The form of infinities and NaN. Defaults to `.throw`: there is none.
    package var nonConformingFloatDecodingStrategy: JSONDecoder.NonConformingFloatDecodingStrategy = .throw
    /// What decoded types find in `Decoder.userInfo`. Defaults to nothing.
    package var userInfo: [CodingUserInfoKey: any Sendable] = [:]

    /// Creates a decoder with the default strategies.
    package init() {}

    /// Decodes a value from the JSON text in `bytes`.
    ///
    /// - Throws: `DecodingError`, or what the type's own decoding throws.
    package func decode<Value: Decodable>(_ type: Value.Type, from bytes: [UInt8]) throws -> Value {
        try bytes.withUnsafeBufferPointer { try decode(type, from: $0) }
    }

    /// Decodes a value from the JSON text in `bytes`, which is only read during the call.
    ///
    /// - Throws: `DecodingError`, or what the type's own decoding throws.
    package func decode<Value: Decodable>(
        _ type: Value.Type,
        from bytes: UnsafeBufferPointer<UInt8>
    ) throws -> Value {
        do {
            return try JSONTextEncoding.withUTF8(bytes) { text in
                do {
                    return try decodeUTF8(type, from: text)
                } catch let error as JSONSyntaxError {
                    throw error.decodingError(in: text)
                }
            }
        } catch let error as JSONSyntaxError {
            throw error.decodingError(in: bytes)
        }
    }

    private func decodeUTF8<Value: Decodable>(_ type: Value.Type, from text: UnsafeBufferPointer<UInt8>) throws -> Value
    {
        var document = try JSONDocument(text, options: self)
        // A decoder or container that outlives the call keeps the document. It then gets a text of its own, because this
        // one is only valid until the call returns.
        defer { if !isKnownUniquelyReferenced(&document) { document.adoptText() } }
        return try document.decode(type, at: 0) { [] }
    }
}

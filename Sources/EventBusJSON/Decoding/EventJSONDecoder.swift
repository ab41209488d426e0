#if canImport(FoundationEssentials)
package import FoundationEssentials
#else
package import Foundation
#endif

/// A decoder that reads values from JSON texts.
///
/// The decoder follows these rules, which RFC 8259 leaves open:
/// - A text is UTF-8, or UTF-16 or UTF-32 in either byte order. A byte order mark is skipped.
/// - If names of members are equal, the first member counts.
/// - A comma after the last element or member is accepted. Any other bytes after the value are an error.
/// - Arrays and objects nest at most 512 deep.
/// - The contents of strings and numbers are checked when they are decoded.
/// - An integer type accepts any number whose value is an integer in its range, including `1e3` and `2.0`. A fraction
///   that a `Double` cannot hold is ignored. A floating-point type takes the nearest value. A number that would become
///   infinite, or a nonzero number that would become zero, is an error.
package struct EventJSONDecoder: Sendable {
    /// The conversion of names in the text to keys. The keys of dictionaries are never converted.
    /// Defaults to `.useDefaultKeys`.
    package var keyDecodingStrategy: JSONDecoder.KeyDecodingStrategy = .useDefaultKeys
    /// The format of dates. Defaults to `.deferredToDate`.
    package var dateDecodingStrategy: JSONDecoder.DateDecodingStrategy = .deferredToDate
    /// The format of data. Defaults to `.base64`.
    package var dataDecodingStrategy: JSONDecoder.DataDecodingStrategy = .base64
    /// The format of infinities and NaN. Defaults to `.throw`, which rejects them.
    package var nonConformingFloatDecodingStrategy: JSONDecoder.NonConformingFloatDecodingStrategy = .throw
    /// The dictionary that decoded types find in `Decoder.userInfo`. Defaults to an empty dictionary.
    package var userInfo: [CodingUserInfoKey: any Sendable] = [:]

    /// Creates a decoder with the default strategies.
    package init() {}

    /// Decodes a value from the JSON text in `bytes`.
    ///
    /// - Throws: `DecodingError`, or any error that the type's own `init(from:)` throws.
    package func decode<Value: Decodable>(_ type: Value.Type, from bytes: [UInt8]) throws -> Value {
        try bytes.withUnsafeBufferPointer { try decode(type, from: $0) }
    }

    /// Decodes a value from the JSON text in `bytes`, which is read only during the call.
    ///
    /// - Throws: `DecodingError`, or any error that the type's own `init(from:)` throws.
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
        // A decoder or container that outlives the call keeps the document. Such a document gets its own copy of the
        // text, because this one is valid only until the call returns.
        defer { if !isKnownUniquelyReferenced(&document) { document.adoptText() } }
        return try document.decode(type, at: 0) { [] }
    }
}

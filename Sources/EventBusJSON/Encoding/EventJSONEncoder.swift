#if canImport(FoundationEssentials)
package import FoundationEssentials
#else
package import Foundation
#endif

/// An encoder that writes values as JSON texts.
///
/// - The text is UTF-8 without white space. Members are written in the order in which `encode(to:)` encodes them. The
///   members of dictionaries are sorted by the bytes of their names. The elements of sets, and of dictionaries whose
///   keys are not strings, are sorted by their bytes. Equal values therefore have equal bytes in every process.
/// - A member that is encoded twice is written once, with the last value.
/// - Floating-point numbers are written with the fewest digits that read back as the same value, without `.0`.
/// - In strings, only quotation marks, backslashes and control characters are escaped.
/// - Arrays and objects nest at most 512 deep.
package struct EventJSONEncoder: Sendable {
    /// The conversion of keys to names in the text. The keys of dictionaries are never converted.
    /// Defaults to `.useDefaultKeys`.
    package var keyEncodingStrategy: JSONEncoder.KeyEncodingStrategy = .useDefaultKeys
    /// The format of dates. Defaults to `.deferredToDate`.
    package var dateEncodingStrategy: JSONEncoder.DateEncodingStrategy = .deferredToDate
    /// The format of data. Defaults to `.base64`.
    package var dataEncodingStrategy: JSONEncoder.DataEncodingStrategy = .base64
    /// The format of infinities and NaN. Defaults to `.throw`, which rejects them.
    package var nonConformingFloatEncodingStrategy: JSONEncoder.NonConformingFloatEncodingStrategy = .throw
    /// The dictionary that encoded types find in `Encoder.userInfo`. Defaults to an empty dictionary.
    package var userInfo: [CodingUserInfoKey: any Sendable] = [:]

    /// Creates an encoder with the default strategies.
    package init() {}

    /// Returns the JSON text of `value`.
    ///
    /// - Throws: `EncodingError`, or any error that the type's own `encode(to:)` throws.
    package func encode<Value: Encodable>(_ value: Value) throws -> [UInt8] {
        try withUnsafeTemporaryAllocation(of: UInt8.self, capacity: 1024) { buffer in
            let state = JSONEncodingState(options: self, buffer: buffer)
            // The buffer is valid only during this call, so a container that outlives the call must not keep it.
            defer { state.end() }
            try state.encodeRoot(value)
            return [UInt8](state.text)
        }
    }
}

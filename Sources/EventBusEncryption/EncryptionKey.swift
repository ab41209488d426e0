public import EventBus

/// A secret key with the name by which receivers find it.
///
/// ```swift
/// let secret: [UInt8] = Array(repeating: 7, count: 32)  // from a secret store
/// let key = try EncryptionKey(id: "2026-11", bytes: secret)
/// ```
public struct EncryptionKey: Sendable {
    /// The number of bytes of a key.
    public static let length = 32

    /// The key's name, which every event that it encrypts carries in a header.
    public let id: String
    let bytes: [UInt8]

    /// Creates a key.
    ///
    /// ```swift
    /// let key = try EncryptionKey(id: "2026-11", bytes: secret)  // 32 bytes from the service's store of secrets
    /// ```
    ///
    /// - Parameters:
    ///   - id: The key's name, which is not secret, such as the month in which it was created. Another key needs another
    ///     name.
    ///   - bytes: The secret: 32 random bytes.
    /// - Throws: ``/EventBus/EventBusError`` with code `.invalidConfiguration` if the secret is not 32 bytes long, or if
    ///   the name is empty or longer than 255 bytes.
    public init(id: String, bytes: [UInt8]) throws(EventBusError) {
        guard !id.isEmpty, id.utf8.count <= TransportLimits.maximumTextLength else {
            throw EventBusError(
                .invalidConfiguration,
                "the name of an encryption key has \(id.utf8.count) bytes; give 1 to \(TransportLimits.maximumTextLength)"
            )
        }
        guard bytes.count == Self.length else {
            throw EventBusError(
                .invalidConfiguration,
                "the encryption key \(id.quotedForError) has \(bytes.count) bytes; give \(Self.length) random bytes"
            )
        }
        self.id = id
        self.bytes = bytes
    }

    /// Returns a new key with random bytes, for a test for example.
    ///
    /// - Throws: ``/EventBus/EventBusError`` with code `.invalidConfiguration` if the name is empty or longer than 255
    ///   bytes.
    public static func random(id: String) throws(EventBusError) -> EncryptionKey {
        var generator = SystemRandomNumberGenerator()
        return try EncryptionKey(
            id: id,
            bytes: (0..<length).map { _ in UInt8.random(in: .min ... .max, using: &generator) }
        )
    }
}

extension EncryptionKey: CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
    /// The key's name, without its secret.
    public var description: String { "EncryptionKey(\(id.quotedForError))" }

    /// The key's name, without its secret.
    public var debugDescription: String { description }

    /// A mirror with the key's name, without its secret.
    public var customMirror: Mirror { Mirror(self, children: ["id": id]) }
}

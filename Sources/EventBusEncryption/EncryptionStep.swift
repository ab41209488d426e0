public import EventBus

/// A payload step that encrypts payloads with AES-256-GCM, and refuses those that were changed or belong to another event.
///
/// ```swift
/// let key = try EncryptionKey.random(id: "2026-11")
/// var configuration = EventBusConfiguration()
/// configuration.payloadSteps = [try EncryptionStep(key: key)]
/// let bus = EventBus(transport: .inMemory(), configuration: configuration)
/// ```
///
/// The payload is encrypted and authenticated together with the event's topic, identity, content type and version, so
/// it cannot be passed off as another event's. Publish middleware must not change them. The other properties and the headers are neither encrypted nor
/// authenticated, so that brokers and tools can work with them. In particular, the topic, the partition key and the
/// error text of a responder are readable.
///
/// To replace a key, first add the new one to `otherKeys` everywhere. Then encrypt with it, and keep the former key
/// among the `otherKeys` until no event of it is left in any queue, outbox or dead-letter queue. Replace a key before it
/// has encrypted 2³² events, after which random nonces might repeat.
public struct EncryptionStep: PayloadStep {
    /// The name of the header with the name of the key.
    public static let keyHeader = "encryption-key-id"

    /// The name `aes256gcm`.
    public let contentEncoding = "aes256gcm"
    /// A Boolean value indicating whether a bus refuses events that are not encrypted.
    public let isRequired: Bool
    /// The value `true`: the payload is authenticated together with the event's id.
    public var bindsIdentity: Bool { true }
    private let key: EncryptionKey
    private let keys: [String: EncryptionKey]

    /// Creates a step.
    ///
    /// ```swift
    /// let step = try EncryptionStep(key: november, otherKeys: [october, december])
    /// ```
    ///
    /// - Parameters:
    ///   - key: The key that encrypts. It decrypts too.
    ///   - otherKeys: Additional keys that decrypt: former ones and the next. Defaults to none.
    ///   - acceptsPlainEvents: A Boolean value indicating whether the bus accepts events that are not encrypted, which
    ///     anyone with access to the broker can publish. Set it while encryption is introduced. Defaults to `false`:
    ///     such events become dead letters.
    /// - Throws: ``/EventBus/EventBusError`` with code `.invalidConfiguration` if two keys share a name.
    public init(
        key: EncryptionKey,
        otherKeys: [EncryptionKey] = [],
        acceptsPlainEvents: Bool = false
    ) throws(EventBusError) {
        var keys = [key.id: key]
        for other in otherKeys {
            guard keys.updateValue(other, forKey: other.id).map({ $0.bytes == other.bytes }) ?? true else {
                throw EventBusError(
                    .invalidConfiguration,
                    "two encryption keys are called \(other.id.quotedForError); give each a name of its own"
                )
            }
        }
        self.key = key
        self.keys = keys
        self.isRequired = !acceptsPlainEvents
    }

    /// Encrypts the payload.
    public func encode(_ envelope: inout Envelope) throws -> Bool {
        var generator = SystemRandomNumberGenerator()
        let nonce = (0..<AESGCM.nonceLength).map { _ in UInt8.random(in: .min ... .max, using: &generator) }
        let context = Self.context(of: envelope, keyID: key.id)
        guard let sealed = AESGCM.seal(envelope.payload, key: key.bytes, nonce: nonce, context: context) else {
            throw EventBusError(
                .encodingFailed,
                "OpenSSL could not encrypt a payload of \(envelope.payload.count) bytes"
            )
        }
        envelope.payload = sealed
        envelope.headers[Self.keyHeader] = .string(key.id)
        return true
    }

    /// Decrypts the payload.
    ///
    /// - Throws: ``/EventBus/EventBusError`` with code `.decodingFailed` if the key is unknown, or if the payload was
    ///   changed or belongs to another event.
    public func decode(_ envelope: inout Envelope) throws {
        guard let id = envelope.headers[Self.keyHeader]?.string else {
            throw EventBusError(.decodingFailed, "the event has no header \(Self.keyHeader) that names its key")
        }
        guard let key = keys[id] else {
            throw EventBusError(
                .decodingFailed,
                "the event is encrypted with the unknown key \(id.quotedForError); known: "
                    + keys.keys.sorted().joined(separator: ", ") + "; add it to the otherKeys of the step"
            )
        }
        let context = Self.context(of: envelope, keyID: id)
        guard let payload = AESGCM.open(envelope.payload, key: key.bytes, context: context) else {
            throw EventBusError(
                .decodingFailed,
                "the payload was changed, or was encrypted for another event, or with another key than "
                    + id.quotedForError
            )
        }
        envelope.payload = payload
        envelope.headers[Self.keyHeader] = nil
    }

    /// Returns the data to which the payload is bound: texts, each preceded by its length in four bytes.
    private static func context(of envelope: Envelope, keyID: String) -> [UInt8] {
        let texts = [
            "eventbus.aes256gcm.v1", keyID, envelope.topic.rawValue, envelope.id.rawValue, envelope.contentType,
            "\(envelope.version)", envelope.contentEncoding ?? "",
        ]
        var context: [UInt8] = []
        for text in texts {
            let bytes = Array(text.utf8)
            let length = UInt32(truncatingIfNeeded: bytes.count)
            context += [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: length >> $0) }
            context += bytes
        }
        return context
    }
}

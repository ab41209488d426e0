/// A store for the bodies of large events, such as a folder or a bucket that all services can reach.
///
/// The bus stores a body before it publishes the event, and reads it each time the event is handled. It never removes
/// one, because it does not know which groups still need it. Remove bodies by age, and keep them as long as events may
/// wait in queues, outboxes and dead-letter queues.
///
/// Implementations are called from many tasks at once, should respond to cancellation, and must not block their thread. The
/// bus leaves a call behind that ignores its cancellation, and proceeds as if the store were unavailable.
///
/// ```swift
/// struct BucketStore: ClaimCheckStore {
///     let bucket: Bucket
///     func put(_ body: [UInt8], named name: ClaimCheckName) async throws { try await bucket.put(body, name.rawValue) }
///     func get(_ name: ClaimCheckName) async throws -> [UInt8]? { try await bucket.get(name.rawValue) }
///     func remove(_ name: ClaimCheckName) async throws { try await bucket.delete(name.rawValue) }
/// }
/// ```
public protocol ClaimCheckStore: Sendable {
    /// Stores a body durably. A body of this name that is already stored is the same, and may be replaced.
    ///
    /// - Throws: ``EventBusError`` with code `.tooLarge` if the body can never be stored. Any other error counts as an
    ///   outage of the store.
    func put(_ body: [UInt8], named name: ClaimCheckName) async throws

    /// Returns the body of this name, or `nil` if none is stored.
    ///
    /// - Throws: An error that counts as an outage of the store.
    func get(_ name: ClaimCheckName) async throws -> [UInt8]?

    /// Removes the body of this name, if one is stored.
    func remove(_ name: ClaimCheckName) async throws
}

/// The name of a stored body: 64 hexadecimal digits, derived from the event's identity and the body.
public struct ClaimCheckName: Hashable, Sendable, RawRepresentable, CustomStringConvertible {
    /// The number of digits.
    static let length = 64

    /// The digits 0 to 9 and a to f.
    public let rawValue: String

    /// Creates a name from its digits. Returns `nil` if there are not exactly 64, or if others are among them.
    public init?(rawValue: String) {
        let isName = rawValue.utf8.allSatisfy {
            (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0)
                || (UInt8(ascii: "a")...UInt8(ascii: "f")).contains($0)
        }
        guard isName, rawValue.utf8.count == Self.length else { return nil }
        self.rawValue = rawValue
    }

    /// Creates the name of an event's body.
    init(of body: [UInt8], event id: EventID) {
        var hash = SHA256()
        let text = id.rawValue.utf8
        // With its length, so that no other event and body have the same bytes.
        hash.append(UInt64(text.count))
        hash.append(text.span)
        hash.append(body.span)
        let words = hash.finish()
        var digits: [UInt8] = []
        for index in words.indices {
            for shift in stride(from: 28, through: 0, by: -4) {
                let digit = UInt8(truncatingIfNeeded: words[index] >> UInt32(shift)) & 0xF
                digits.append(digit < 10 ? UInt8(ascii: "0") + digit : UInt8(ascii: "a") + digit - 10)
            }
        }
        self.rawValue = String(decoding: digits, as: UTF8.self)
    }

    /// The digits.
    public var description: String { rawValue }
}

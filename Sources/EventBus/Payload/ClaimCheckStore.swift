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

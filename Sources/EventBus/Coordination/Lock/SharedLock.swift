/// A read-write lock and a semaphore that several processes share.
///
/// ```swift
/// try await lock.withReadLock("price-list") { _ in try await readPrices() }
/// try await lock.withWriteLock("price-list") { lease in try await importPrices(fencingToken: lease.fencingToken) }
///
/// // At most four reports at once, in all processes together.
/// try await lock.withPermit("reports", limit: 4) { _ in try await createReport() }
/// ```
///
/// A share of a resource is a lease, as that of a ``DistributedLock``: it has a time limit and is renewed, its loss
/// cancels the body, and a suspended holder may overlap with the next one. `SharedLockConformance` in `EventBusTesting`
/// checks the following guarantees:
///
/// - **Exclusion.** While a writer's lease is valid, nobody else has a lease for the resource. With permits there are
///   never more valid leases than the limit.
/// - **Order.** All requests of a resource wait in one queue, and none overtakes another. Readers that arrive after a
///   waiting writer therefore wait behind it, and no writer starves.
/// - **Fencing.** A writer's token is greater than those of all earlier leases of the resource, and smaller than those
///   of all later ones. The tokens of readers and of permits grow as well, but several of them are valid at once.
/// - **No leftovers.** A wait that was cancelled or that timed out keeps neither a share nor a place in the queue.
///
/// No request is reentrant: asking for a resource inside a body that has a share of it throws `.reentrant`, also for a
/// reader inside a reader, because a writer may wait between them.
public protocol SharedLock: Sendable {
    /// Returns the lock whose grants have the given share of their resources.
    ///
    /// The locks for different shares have the same resources.
    func lock(for share: LockShare) -> any DistributedLock
}

extension SharedLock {
    /// Runs `body` while holding `resource` together with other readers, and without a writer.
    ///
    /// - Parameters:
    ///   - resource: The name of the resource, such as `price-list`.
    ///   - ttl: The time after which the share is free again if this process dies. Defaults to 10 s.
    ///   - wait: The maximum time to wait. Defaults to 10 s.
    ///   - body: The work that reads the resource. It runs in a child task.
    /// - Returns: The result of `body`.
    /// - Throws: The errors of ``DistributedLock/withLock(_:ttl:wait:_:)``.
    public func withReadLock<T: Sendable>(
        _ resource: String,
        ttl: Duration = .seconds(10),
        wait: Duration = .seconds(10),
        _ body: @Sendable @escaping (borrowing Lease) async throws -> T
    ) async throws -> T {
        try await lock(for: .shared).withLock(resource, ttl: ttl, wait: wait, body)
    }

    /// Runs `body` while holding `resource` alone.
    ///
    /// - Parameters:
    ///   - resource: The name of the resource, such as `price-list`.
    ///   - ttl: The time after which the resource is free again if this process dies. Defaults to 10 s.
    ///   - wait: The maximum time to wait. Defaults to 10 s.
    ///   - body: The work that changes the resource. It runs in a child task.
    /// - Returns: The result of `body`.
    /// - Throws: The errors of ``DistributedLock/withLock(_:ttl:wait:_:)``.
    public func withWriteLock<T: Sendable>(
        _ resource: String,
        ttl: Duration = .seconds(10),
        wait: Duration = .seconds(10),
        _ body: @Sendable @escaping (borrowing Lease) async throws -> T
    ) async throws -> T {
        try await lock(for: .exclusive).withLock(resource, ttl: ttl, wait: wait, body)
    }

    /// Runs `body` while holding one of `limit` permits of `resource`.
    ///
    /// All callers should pass the same limit. If they differ, as during a deployment, each is judged by its own.
    ///
    /// - Parameters:
    ///   - resource: The name of the resource, such as `reports`.
    ///   - limit: The number of permits, at least 1.
    ///   - ttl: The time after which the permit is free again if this process dies. Defaults to 10 s.
    ///   - wait: The maximum time to wait. Defaults to 10 s.
    ///   - body: The work that needs the permit. It runs in a child task.
    /// - Returns: The result of `body`.
    /// - Throws: The errors of ``DistributedLock/withLock(_:ttl:wait:_:)``, and ``EventBusError`` with code
    ///   `.invalidConfiguration` for a limit below 1.
    public func withPermit<T: Sendable>(
        _ resource: String,
        limit: Int,
        ttl: Duration = .seconds(10),
        wait: Duration = .seconds(10),
        _ body: @Sendable @escaping (borrowing Lease) async throws -> T
    ) async throws -> T {
        guard limit >= 1 else {
            throw EventBusError(
                .invalidConfiguration,
                "\(resource.quotedForError) has \(limit) permits; it needs at least one"
            )
        }
        return try await lock(for: .shared(limit: limit)).withLock(resource, ttl: ttl, wait: wait, body)
    }
}

/// A lock whose holders can be listed, and whose resources can be forced open by an operator.
///
/// ```swift
/// for holder in try await lock.holders() where holder.heldFor > .seconds(3600) {
///     print("\(holder.process) has held '\(holder.resource)' for \(holder.heldFor)")
///     try await lock.forceRelease(holder)
/// }
/// ```
public protocol InspectableLock: DistributedLock {
    /// Returns the holder of `resource`, or `nil` if it is free.
    ///
    /// - Throws: ``EventBusError``: `.unavailable` or `.indeterminate` if the store did not answer.
    func holder(of resource: String) async throws -> LockHolder?

    /// Returns the holders of all resources of this lock, in no particular order and at most `limit`.
    ///
    /// - Throws: ``EventBusError``: `.unavailable` or `.indeterminate` if the store did not answer.
    func holders(limit: Int) async throws -> [LockHolder]

    /// Ends the grant of `holder` and hands the resource to the first waiter.
    ///
    /// The process of the holder learns of it at the next renewal, which is a third of the time to live away at most,
    /// and cancels the body. Until then two bodies may run, as after any lost lease: only a store that checks the
    /// fencing token refuses the former holder.
    ///
    /// - Returns: `true` if the grant was ended, or `false` if the resource was no longer held under it.
    /// - Throws: ``EventBusError``: `.unavailable` or `.indeterminate` if the store did not answer.
    @discardableResult
    func forceRelease(_ holder: LockHolder) async throws -> Bool
}

extension InspectableLock {
    /// Returns the holders of all resources of this lock, in no particular order and at most 1,000.
    public func holders() async throws -> [LockHolder] { try await holders(limit: 1000) }
}

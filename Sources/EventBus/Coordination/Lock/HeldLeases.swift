/// The leases that the current task works under.
///
/// A child task has those of its parent, and so has every task that inherits task-local values.
enum HeldLeases {
    @TaskLocal static var current: [LeaseHolding] = []
}

extension DistributedLock {
    /// Throws if the current task holds `resource` with this lock, because it would wait for itself.
    ///
    /// - Throws: ``EventBusError`` with code `.reentrant`.
    func checkNotHeld(_ resource: String) throws(EventBusError) {
        let held = HeldLeases.current
        if held.isEmpty { return }
        let identity = identity
        for holding in held
        where holding.lock.identity === identity && ExactText(holding.grant.resource) == ExactText(resource) {
            // A lease that was lost or released keeps nobody waiting.
            guard (try? holding.check()) != nil else { continue }
            throw EventBusError(
                .reentrant,
                "\(resource.quotedForError) is locked by this task already, or by one that it is a child of, and would "
                    + "have waited for itself: a lock is not reentrant; hand the lease on instead of locking again"
            )
        }
    }
}

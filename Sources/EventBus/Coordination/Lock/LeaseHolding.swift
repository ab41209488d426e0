/// The local state of one grant: whether it is still valid, and its end.
package final class LeaseHolding: Sendable {
    private enum Status {
        case held
        case lost(EventBusError)
        case released
    }

    private struct State {
        var status = Status.held
        var validUntil: AnyClock.Instant
    }

    package let lock: any DistributedLock
    package let grant: LockGrant
    private let state: Locked<State>
    /// A signal that is raised when the lease is lost.
    private let lost = Signal()

    init(_ grant: LockGrant, of lock: any DistributedLock) {
        self.lock = lock
        self.grant = grant
        self.state = Locked(State(validUntil: grant.validUntil))
    }

    /// Throws if the lease has ended, as far as this process knows.
    func check() throws {
        let now = lock.clock.now
        let error: EventBusError? = state.withLock { state in
            switch state.status {
            case .held where now < state.validUntil: return nil
            case .held: return expired
            case .lost(let error): return error
            case .released: return EventBusError(.lockNotOwned, "the lease of '\(grant.resource)' was released")
            }
        }
        if let error { throw error }
    }

    func renew() async throws {
        do {
            let validUntil = try await lock.renew(grant)
            state.withLock { $0.validUntil = max($0.validUntil, validUntil) }
        } catch let error as EventBusError where error.code == .lockNotOwned || error.code == .leaseExpired {
            throw lose(ended(error))
        }
    }

    /// Lets the lock renew the lease on a separate thread if it can. Otherwise ``keepAlive()`` renews it.
    func startRenewing() {
        guard let lock = lock as? any LeaseRenewing else { return }
        lock.startRenewing(grant) { outcome in
            switch outcome {
            case .success(let validUntil):
                self.state.withLock { $0.validUntil = max($0.validUntil, validUntil) }
            case .failure(let error as EventBusError) where error.code == .lockNotOwned || error.code == .leaseExpired:
                self.lose(self.ended(error))
            case .failure: break
            }
        }
    }

    func stopRenewing() {
        (lock as? any LeaseRenewing)?.stopRenewing(grant)
    }

    /// Renews the lease at a third of the time to live, until it is lost or the task is cancelled.
    func keepAlive() async {
        guard !(lock is any LeaseRenewing) else {
            try? await lost.wait()
            return
        }
        let clock = lock.clock
        var next = clock.now.advanced(by: grant.ttl / 3)
        while true {
            guard (try? await clock.sleep(until: next)) != nil else { return }
            let sent = clock.now
            do {
                try await renew()
                next = sent.advanced(by: grant.ttl / 3)
            } catch let error as EventBusError where error.code == .lockLost || error.code == .leaseExpired {
                return
            } catch {
                // The store may answer again before the lease ends.
                next = clock.now.advanced(by: grant.ttl / 10)
            }
        }
    }

    /// Returns when the lease has expired or the task is cancelled. A renewal without an answer must not keep the body
    /// running.
    func watchExpiry() async {
        while true {
            let end = state.withLock { $0.validUntil }
            guard (try? await lock.clock.sleep(until: end)) != nil else { return }
            let now = lock.clock.now
            let isOver = state.withLock { now >= $0.validUntil }
            if isOver {
                lose(expired)
                return
            }
        }
    }

    /// Releases the resource, even if the calling task is cancelled.
    func release() async throws {
        guard markReleased() else { return }
        try await withoutCancellation { [lock, grant] in try await lock.release(grant) }
    }

    /// Releases the resource without waiting, unless it was released before.
    func abandon() {
        guard markReleased() else { return }
        lock.abandon(grant)
    }

    private func ended(_ cause: EventBusError) -> EventBusError {
        EventBusError(
            cause.code == .lockNotOwned ? .lockLost : .leaseExpired,
            "the lease of '\(grant.resource)' ended while it was held",
            underlying: cause
        )
    }

    private var expired: EventBusError {
        EventBusError(
            .leaseExpired,
            "the lease of '\(grant.resource)' ended: it was not renewed within its time to live of \(grant.ttl)"
        )
    }

    private func markReleased() -> Bool {
        state.withLock { state in
            if case .released = state.status { return false }
            state.status = .released
            return true
        }
    }

    /// Records the reason for the loss of the lease. The first reason is kept.
    @discardableResult
    private func lose(_ error: EventBusError) -> EventBusError {
        state.withLock { state in
            if case .held = state.status { state.status = .lost(error) }
        }
        lost.raise()
        return error
    }
}

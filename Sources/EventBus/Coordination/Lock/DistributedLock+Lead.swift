extension DistributedLock {
    /// Runs `body` while this task is the leader of `role`, which it waits to become.
    ///
    /// ```swift
    /// struct Scheduler: Service {
    ///     let lock: any DistributedLock
    ///
    ///     func run() async throws {
    ///         try await cancelWhenGracefulShutdown {
    ///             try await lock.lead("scheduler") { lease in
    ///                 try await runDueJobs(fencingToken: lease.fencingToken)
    ///             }
    ///         }
    ///     }
    /// }
    /// ```
    ///
    /// Every instance of a service calls it, and one of them leads at a time. The others wait in the order of the lock
    /// for as long as it takes. When the leader returns, is cancelled or dies, the next one takes over: immediately, or
    /// after `ttl` if the leader died.
    ///
    /// If the leadership is lost, because the store was unreachable for too long or the process was suspended, the task
    /// that runs `body` is cancelled. When `body` has ended, this method waits to become the leader again, and then
    /// runs it again. It does so if `body` threw `CancellationError` or the error of ``Lease/check()``, and also if
    /// `body` returned, because its result came from a former leader.
    ///
    /// There may be two leaders for a short time: a suspended process does not know that it has been replaced. Pass
    /// ``Lease/fencingToken`` with every write to a store that refuses older tokens, or call ``Lease/check()`` before
    /// a step that must not happen twice. While the store is unreachable, nobody becomes the leader.
    ///
    /// - Parameters:
    ///   - role: The name of the role, such as `scheduler`. It is the name of a resource of this lock.
    ///   - ttl: The time after which another leader takes over if this process dies. Defaults to 10 s.
    ///   - body: The work of the leader. It runs in a child task.
    /// - Returns: The result of `body`, after which this task no longer leads.
    /// - Throws: The errors of `body`, unchanged except for those of a lost leadership. `CancellationError` if the task
    ///   was cancelled. ``EventBusError``: `.reentrant` if this task leads the role already; `.invalidName` or
    ///   `.invalidConfiguration` for an invalid argument; errors of the store that do not pass by themselves. If the
    ///   store is unreachable, the method keeps trying.
    public func lead<T: Sendable>(
        _ role: String,
        ttl: Duration = .seconds(10),
        while body: @Sendable @escaping (borrowing Lease) async throws -> T
    ) async throws -> T {
        try validate(role, ttl: ttl, wait: .zero)
        let pauses = RetryPolicy(initial: .milliseconds(100), maximum: .seconds(5))
        var failures = 0
        while true {
            try Task.checkCancellation()
            let hasLed = Locked(false)
            do {
                // The time after which a candidate gives up its place in the queue and takes another one.
                return try await hold(role, ttl: ttl, wait: .seconds(3600)) { holding in
                    hasLed.withLock { $0 = true }
                    return try await Self.lead(body, holding)
                }
            } catch let failure as BodyFailure {
                throw failure.error
            } catch let error as EventBusError where error.code == .lockTimedOut {
                failures = 0
            } catch let error as EventBusError where error.isEndOfLease && hasLed.withLock({ $0 }) {
                failures = 0
            } catch let error as EventBusError where error.isEndOfLease || error.mayPass {
                // Without having led, a candidate would only get another lease that ends on its way here.
                failures += 1
                try await clock.sleep(for: pauses.delay(afterAttempt: failures))
            }
        }
    }

    /// Runs the body of a leader, and distinguishes its own errors from those of a lost leadership.
    private static func lead<T: Sendable>(
        _ body: @Sendable (borrowing Lease) async throws -> T,
        _ holding: LeaseHolding
    ) async throws -> T {
        do {
            return try await body(Lease(holding, releasesWhenDropped: false))
        } catch let error as CancellationError {
            throw error
        } catch let error as EventBusError where error.isEndOfLease && (try? holding.check()) == nil {
            throw CancellationError()
        } catch {
            throw BodyFailure(error: error)
        }
    }
}

/// An error of a leader's body, which ends the leadership.
private struct BodyFailure: Error {
    let error: any Error
}

extension EventBusError {
    /// A Boolean value indicating whether the error tells that a lease has ended.
    fileprivate var isEndOfLease: Bool {
        code == .lockLost || code == .leaseExpired || code == .lockNotOwned
    }

    /// A Boolean value indicating whether a later attempt may succeed. A store that rejects a request rejects it again.
    fileprivate var mayPass: Bool { code.isRetriable && code != .rejected }
}

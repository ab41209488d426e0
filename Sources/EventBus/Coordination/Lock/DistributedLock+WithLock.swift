extension DistributedLock {
    /// Runs `body` while holding `resource`.
    ///
    /// ```swift
    /// try await lock.withLock("sku-42") { lease in
    ///     try await stock.reserve(1, of: "sku-42", fencingToken: lease.fencingToken)
    /// }
    /// ```
    ///
    /// The lease is renewed automatically at a third of `ttl`. If it is lost nevertheless, because the store was
    /// unreachable for too long or the process was suspended, the task that runs `body` is cancelled. If this method
    /// returns, the lease was therefore valid while `body` ran. In any case, the method waits for `body` to end.
    ///
    /// - Parameters:
    ///   - resource: The name of the resource, such as `sku-42`.
    ///   - ttl: The time after which the resource is free again if this process dies. Defaults to 10 s.
    ///   - wait: The maximum time to wait for the resource. Defaults to 10 s.
    ///   - body: The work that needs the resource. It runs in a child task.
    /// - Returns: The result of `body`.
    /// - Throws: The errors of `body`, unchanged and never hidden by a failing release. ``EventBusError``:
    ///   `.lockTimedOut` if the resource was not free in time; `.reentrant` immediately if this task or one of its
    ///   ancestors holds the resource with this same lock (a detached task is not recognized, and waits); `.lockLost`
    ///   or `.leaseExpired` if the lease ended before `body` returned, or `body` threw `CancellationError` because of
    ///   that; `.unavailable` or `.indeterminate` if the store did not answer. `CancellationError` if the task was
    ///   cancelled while waiting.
    public func withLock<T: Sendable>(
        _ resource: String,
        ttl: Duration = .seconds(10),
        wait: Duration = .seconds(10),
        _ body: @Sendable @escaping (borrowing Lease) async throws -> T
    ) async throws -> T {
        try validate(resource, ttl: ttl, wait: wait)
        return try await hold(resource, ttl: ttl, wait: wait) { holding in
            try await body(Lease(holding, releasesWhenDropped: false))
        }
    }

    /// Runs `body` while holding all of `resources`.
    ///
    /// The resources are acquired in sorted order, so that two callers that request the same ones in a different order
    /// do not deadlock. Each lease behaves as in ``withLock(_:ttl:wait:_:)``.
    ///
    /// - Parameters:
    ///   - resources: The names of the resources. A duplicate is locked once.
    ///   - ttl: The time after which a resource is free again if this process dies. Defaults to 10 s.
    ///   - wait: The maximum time to wait for all resources together. Defaults to 10 s.
    ///   - body: The work that needs the resources. It runs in a child task.
    /// - Returns: The result of `body`.
    /// - Throws: The errors of ``withLock(_:ttl:wait:_:)``. No resource stays locked.
    public func withLocks<T: Sendable>(
        _ resources: [String],
        ttl: Duration = .seconds(10),
        wait: Duration = .seconds(10),
        _ body: @Sendable @escaping (borrowing LeaseSet) async throws -> T
    ) async throws -> T {
        let sorted = Set(resources.map { ExactText($0) }).sorted().map(\.text)
        for resource in sorted { try validate(resource, ttl: ttl, wait: wait) }
        return try await hold(
            sorted[...],
            besides: [],
            ttl: ttl,
            deadline: clock.now.advanced(by: wait),
            body
        )
    }

    /// Acquires `resource` if it is free.
    ///
    /// ```swift
    /// guard let lease = try await lock.tryLock("nightly-report") else { return }
    /// try await createReport()
    /// try await lease.release()
    /// ```
    ///
    /// The lease is not renewed automatically. Call ``Lease/renew()`` in time, or prefer ``withLock(_:ttl:wait:_:)``. It
    /// belongs to the returned value and not to the task: ``withLock(_:ttl:wait:_:)`` for the same resource waits until
    /// it is released or has expired.
    ///
    /// - Parameters:
    ///   - resource: The name of the resource, such as `sku-42`.
    ///   - ttl: The time for which the lease is valid without a renewal. Defaults to 10 s.
    /// - Returns: The lease, or `nil` if another holder has the resource or waits for it.
    /// - Throws: ``EventBusError``: `.unavailable` or `.indeterminate` if the store did not answer;
    ///   `CancellationError`.
    public func tryLock(_ resource: String, ttl: Duration = .seconds(10)) async throws -> Lease? {
        try validate(resource, ttl: ttl, wait: .zero)
        do {
            let grant = try await acquire(resource, ttl: ttl, wait: .zero)
            return Lease(LeaseHolding(grant, of: self), releasesWhenDropped: true)
        } catch let error as EventBusError where error.code == .lockTimedOut {
            return nil
        }
    }

    func validate(_ resource: String, ttl: Duration, wait: Duration) throws {
        guard !resource.isEmpty else {
            throw EventBusError(.invalidName, "a lock needs the name of its resource; it is empty")
        }
        guard ttl > .zero else {
            throw EventBusError(.invalidConfiguration, "the ttl of '\(resource)' is \(ttl); it has to be positive")
        }
        guard wait >= .zero else {
            throw EventBusError(.invalidConfiguration, "the wait for '\(resource)' is \(wait); it cannot be negative")
        }
    }

    /// Holds each resource while waiting for the next one. Each lease is renewed meanwhile, because the wait is part of
    /// its body.
    private func hold<T: Sendable>(
        _ resources: ArraySlice<String>,
        besides held: [LeaseHolding],
        ttl: Duration,
        deadline: AnyClock.Instant,
        _ body: @Sendable @escaping (borrowing LeaseSet) async throws -> T
    ) async throws -> T {
        guard let resource = resources.first else { return try await body(LeaseSet(held)) }
        let wait = max(.zero, clock.now.duration(to: deadline))
        return try await hold(resource, ttl: ttl, wait: wait) { holding in
            try await hold(resources.dropFirst(), besides: held + [holding], ttl: ttl, deadline: deadline, body)
        }
    }

    /// Runs `body` while holding `resource`.
    func hold<T: Sendable>(
        _ resource: String,
        ttl: Duration,
        wait: Duration,
        _ body: @Sendable @escaping (LeaseHolding) async throws -> T
    ) async throws -> T {
        try checkNotHeld(resource)
        let holding = try await acquireInTime(resource, ttl: ttl, wait: wait)
        let result = await run(body, holding)
        holding.stopRenewing()
        // Checked before the release, which ends the lease.
        let loss = Result { try holding.check() }
        let release = await Result { try await holding.release() }
        do {
            let value = try result.get()
            try loss.get()
            try release.throwIfNotOwned(resource)
            return value
        } catch is CancellationError {
            try loss.get()
            throw CancellationError()
        }
    }

    /// Acquires a lease that is valid when this method returns and that is being renewed.
    ///
    /// A grant may expire before this task runs again if other bodies block all threads, or on its way here. The next one
    /// is requested after a pause, because it may have the same fate.
    private func acquireInTime(_ resource: String, ttl: Duration, wait: Duration) async throws -> LeaseHolding {
        let deadline = clock.now.advanced(by: wait)
        var left = wait
        while true {
            let holding = LeaseHolding(try await acquire(resource, ttl: ttl, wait: left), of: self)
            // Before anything else that needs a thread of the pool.
            holding.startRenewing()
            do {
                try holding.check()
                return holding
            } catch {
                holding.stopRenewing()
                _ = await Result { try await holding.release() }
                left = clock.now.duration(to: deadline)
                guard left > .zero else { throw error }
                try await clock.sleep(for: min(left, .milliseconds(Int64.random(in: 50...150))))
                left = max(.zero, clock.now.duration(to: deadline))
            }
        }
    }

    /// Runs `body` in a child task that is cancelled when the lease is lost.
    private func run<T: Sendable>(
        _ body: @Sendable @escaping (LeaseHolding) async throws -> T,
        _ holding: LeaseHolding
    ) async -> Result<T, any Error> {
        await withTaskGroup(of: Result<T, any Error>?.self) { group in
            group.addTask {
                await HeldLeases.$current.withValue(HeldLeases.current + [holding]) {
                    await Result { try await body(holding) }
                }
            }
            group.addTask {
                await holding.keepAlive()
                return nil
            }
            group.addTask {
                await holding.watchExpiry()
                return nil
            }
            var result: Result<T, any Error>?
            // The first task to end cancels the others: the body its guards, and a guard the body.
            while result == nil, let ended = await group.next() {
                result = ended
                group.cancelAll()
            }
            return result ?? .failure(CancellationError())
        }
    }
}

extension Result where Failure == any Error {
    fileprivate init(_ body: () async throws -> Success) async {
        do {
            self = .success(try await body())
        } catch {
            self = .failure(error)
        }
    }
}

extension Result where Success == Void, Failure == any Error {
    /// Rethrows the error of a release that was rejected because the caller is not the owner. Then the lease was lost
    /// before the body ended. Any other failed release is harmless, because the lease expires.
    fileprivate func throwIfNotOwned(_ resource: String) throws {
        guard case .failure(let error as EventBusError) = self,
            error.code == .lockNotOwned || error.code == .leaseExpired
        else { return }
        throw EventBusError(.lockLost, "the lease of '\(resource)' ended before its body did", underlying: error)
    }
}

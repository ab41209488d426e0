extension DistributedLock {
    /// Runs `body` while holding `resource`.
    ///
    /// The lease is renewed by itself at a third of `ttl`. Should it be lost all the same (the store was away for too
    /// long, the process was stopped), the task that runs `body` is cancelled. A return of this method therefore says
    /// that the lease held from the first to the last line of `body`. The method waits for `body` to end, in any case.
    ///
    /// - Parameters:
    ///   - resource: what is locked, such as `sku-42`.
    ///   - ttl: after how long the resource is free again if this process dies; 10 s unless stated.
    ///   - wait: for how long to stand in line; 10 s unless stated.
    ///   - body: what needs the resource; it runs in a child task.
    /// - Returns: what `body` returned.
    /// - Throws: What `body` throws, unchanged; a failing release never hides it. ``EventBusError``: `.lockTimedOut`
    ///   when the resource was not free in time; `.reentrant` at once when this task, or one that it is a child of, holds
    ///   the resource by this very lock (a detached task is not recognized, and waits); `.lockLost` or `.leaseExpired` when the lease ended before `body`
    ///   returned, or `body` gave up with `CancellationError` because of that; `.unavailable` or `.indeterminate` when
    ///   the store did not answer; `CancellationError` when cancelled while waiting.
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
    /// They are acquired in sorted order, so that two callers who want the same ones in a different order do not wait
    /// for each other for ever. What was said of ``withLock(_:ttl:wait:_:)`` is true of each lease.
    ///
    /// - Parameters:
    ///   - resources: what is locked; one that occurs twice is locked once.
    ///   - ttl: after how long a resource is free again if this process dies; 10 s unless stated.
    ///   - wait: for how long to stand in line for all of them together; 10 s unless stated.
    ///   - body: what needs the resources; it runs in a child task.
    /// - Returns: what `body` returned.
    /// - Throws: As ``withLock(_:ttl:wait:_:)``; nothing stays locked.
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

    /// Takes `resource` if it is free.
    ///
    /// Such a lease is not renewed by itself: call ``Lease/renew()`` in time, or prefer ``withLock(_:ttl:wait:_:)``.
    ///
    /// - Parameters:
    ///   - resource: what is locked, such as `sku-42`.
    ///   - ttl: for how long the lease is valid without being renewed; 10 s unless stated.
    /// - Returns: the lease, or `nil` if another holds the resource or stands in line for it.
    /// - Throws: ``EventBusError``: `.unavailable` or `.indeterminate` when the store did not answer;
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

    private func validate(_ resource: String, ttl: Duration, wait: Duration) throws {
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

    /// Each lease is renewed while the next one is waited for, since that happens in its body.
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

    private func hold<T: Sendable>(
        _ resource: String,
        ttl: Duration,
        wait: Duration,
        _ body: @Sendable @escaping (LeaseHolding) async throws -> T
    ) async throws -> T {
        try checkNotHeld(resource)
        let holding = try await acquireInTime(resource, ttl: ttl, wait: wait)
        let result = await run(body, holding)
        holding.stopRenewing()
        // Asked before the release, which ends the lease itself.
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

    /// Acquires a lease that is valid when this returns, and is renewed.
    ///
    /// A grant may have waited for a thread to run this task on for longer than its lease, while other bodies blocked all
    /// of them.
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
                guard clock.now < deadline else { throw error }
                left = clock.now.duration(to: deadline)
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
            // The first to end ends the others: the body its guards, a guard the body.
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
    /// A release that was not heard is no harm, the lease ends by itself; but one that came too late says that the
    /// lease was not held to the end.
    fileprivate func throwIfNotOwned(_ resource: String) throws {
        guard case .failure(let error as EventBusError) = self,
            error.code == .lockNotOwned || error.code == .leaseExpired
        else { return }
        throw EventBusError(.lockLost, "the lease of '\(resource)' ended before its body did", underlying: error)
    }
}

import ConnectionThread
public import EventBus

/// A ``/EventBus/DistributedLock`` on one Redis server.
///
/// ```swift
/// let lock = RedisLock(redis)
/// try await lock.withLock("invoice-run") { lease in
///     try await createInvoices(fence: lease.fencingToken)
/// }
/// ```
///
/// Waiters queue on the server. A release hands the lock to the first of them in the same step and wakes it. For any
/// number of waiters, a process needs one connection for commands and one for messages. A fencing token is the server's
/// time in microseconds, or one more than the last token, whichever is greater.
///
/// **What is not guaranteed.** Redis replicates after it has answered. A failover may therefore lose a grant, and two
/// holders may overlap until the first lease ends. A holder that is suspended for longer than its lease overlaps as
/// well. Check the fencing token where the effect happens. It keeps growing in both cases, provided that the servers'
/// clocks differ by less than a lease. A server that evicts keys may evict a lock, so use the `noeviction` policy.
/// ``RedisQuorumLock`` survives the loss of a server.
public final class RedisLock: DistributedLock, LeaseRenewing {
    /// The clock that measures leases and waits.
    public let clock: AnyClock
    let client: RedisClient
    let prefix: String
    let rules: LockRules
    let handOverTime: Duration
    /// The maximum duration of a question to the server.
    let askTime: Duration
    /// A Boolean value indicating whether a queued waiter keeps waiting while the server does not answer.
    let outlivesOutages: Bool
    /// The identity of this object on the server.
    let process: String
    let waiters: LockWaiters
    let subscriber: RedisConnection
    let cleanup: RedisCleanup
    let book: LockBook
    private let renewals: LeaseRenewals<LockGrant>

    /// Creates a lock on the server of `client`.
    ///
    /// - Parameters:
    ///   - client: The connection to the server.
    ///   - prefix: The prefix of the keys, without braces. Locks with different prefixes are independent.
    ///   - handOverTime: The time within which a waiter that was handed the lock has to take it before it passes to the
    ///     next waiter, at least 50 ms and at most one hour. Defaults to 500 ms.
    ///   - processName: The name of this process in a ``/EventBus/LockHolder``, at most 64 bytes. Defaults to the host
    ///     name and the process id.
    public convenience init(
        _ client: RedisClient,
        prefix: String = "eventbus",
        handOverTime: Duration = .milliseconds(500),
        processName: String? = nil
    ) {
        self.init(
            client,
            prefix: prefix,
            handOverTime: handOverTime,
            askTime: client.configuration.commandTimeout,
            outlivesOutages: true,
            processName: processName,
            metrics: LockMetrics(prefix: prefix)
        )
    }

    /// Creates a lock that counts nothing if `metrics` is `nil`, and stops waiting for a silent server after `askTime`.
    init(
        _ client: RedisClient,
        prefix: String,
        rules: LockRules = .exclusive,
        handOverTime: Duration,
        askTime: Duration,
        outlivesOutages: Bool,
        processName: String? = nil,
        metrics: LockMetrics?
    ) {
        precondition(!prefix.contains("{") && !prefix.contains("}"), "the prefix of keys cannot have braces")
        let handOverTime = min(max(.milliseconds(50), handOverTime), .seconds(3600))
        let process = HolderIdentity.make(name: processName ?? ProcessName.current)
        let clock = AnyClock.continuous
        let waiters = LockWaiters(clock: clock)
        let arguments = [RedisArgument.integer(handOverTime.wholeMilliseconds), .text("\(prefix):lock-wake:")]
        self.client = client
        self.clock = clock
        self.prefix = prefix
        self.rules = rules
        self.handOverTime = handOverTime
        self.askTime = askTime
        self.outlivesOutages = outlivesOutages
        self.process = process
        self.waiters = waiters
        self.book = LockBook(clock: clock, metrics: metrics)
        self.cleanup = RedisCleanup(client)
        self.renewals = LeaseRenewals(clock: clock, thread: client.thread) {
            [channel = client.commandChannel] grant, done in
            let sent = clock.now
            channel.run(
                rules.renew,
                keys: LockKeys(prefix: prefix, resource: grant.resource).holderAndFence,
                [.text(grant.owner), .integer(grant.ttl.wholeMilliseconds)],
                timeout: min(channel.configuration.commandTimeout, grant.ttl)
            ) { result in
                done(Result { try Self.renewed(grant, result.get().orThrow(), sent: sent) })
            }
        }
        self.subscriber = client.subscriber(channels: ["\(prefix):lock-wake:\(process)"]) { event in
            switch event {
            case .began: waiters.setListening(true)
            case .ended: waiters.setListening(false)
            case .message(_, let payload):
                guard let parts = payload.text?.split(separator: " ", maxSplits: 1), parts.count == 2 else { return }
                let token = String(parts[0])
                // The waiter has given up, and its message has not arrived yet.
                if !waiters.wake(token), let keys = LockKeys(holderKey: parts[1]) {
                    client.post(rules.decline, keys: keys.all, [.text(token)] + arguments)
                }
            }
        }
    }

    /// Requests `resource` and waits for it for at most `wait`.
    ///
    /// A server that cannot be reached is asked again until the wait is over. A server that does not answer cannot
    /// delay the call: the call ends after `wait`, but not before 100 ms. If `wait` is zero, it ends after the timeout
    /// of one command. At most 100 ms are added to return a lock that may have been granted. The same holds for a
    /// cancelled call.
    ///
    /// - Throws: The errors of the protocol; `.lockTimedOut` only if another holder had the resource; `.unavailable` if
    ///   Redis could not be asked, which is thrown immediately if Redis is out of memory; `.invalidConfiguration` if `ttl`
    ///   is less than the possible drift of the clocks, which is 2 ms and a hundredth.
    public func acquire(_ resource: String, ttl: Duration, wait: Duration) async throws -> LockGrant {
        try await acquire(resource, ttl: ttl, wait: wait, tokenSuffix: "")
    }

    /// Requests `resource` with a token that ends with `tokenSuffix`.
    func acquire(_ resource: String, ttl: Duration, wait: Duration, tokenSuffix: String) async throws -> LockGrant {
        try Self.requireLease(resource, ttl)
        return try await book.acquisition {
            try await acquireUncounted(resource, ttl: ttl, wait: wait, tokenSuffix: tokenSuffix)
        }
    }

    /// Throws if each lease of this time to live would have ended when its grant arrives.
    static func requireLease(_ resource: String, _ ttl: Duration) throws(EventBusError) {
        guard ttl.lessDrift <= .zero else { return }
        throw EventBusError(
            .invalidConfiguration,
            "the ttl of '\(resource)' is \(ttl); nothing is left of that when a grant arrives, so use at least 10 ms"
        )
    }

    /// Renews a grant for its whole time to live.
    public func renew(_ grant: LockGrant) async throws -> AnyClock.Instant {
        let sent = clock.now
        let answer = try await client.run(
            rules.renew,
            keys: LockKeys(prefix: prefix, resource: grant.resource).holderAndFence,
            [.text(grant.owner), .integer(grant.ttl.wholeMilliseconds)],
            isIdempotent: true
        )
        return try noting(Result { try Self.renewed(grant, answer, sent: sent) }, grant).get()
    }

    package func startRenewing(
        _ grant: LockGrant,
        onOutcome: @escaping @Sendable (Result<AnyClock.Instant, any Error>) -> Void
    ) {
        renewals.begin(grant) { [weak self] outcome in onOutcome(self?.noting(outcome, grant) ?? outcome) }
    }

    package func stopRenewing(_ grant: LockGrant) {
        renewals.end(grant)
    }

    /// Records the outcome of a renewal.
    private func noting(
        _ outcome: Result<AnyClock.Instant, any Error>,
        _ grant: LockGrant
    ) -> Result<AnyClock.Instant, any Error> {
        switch outcome {
        case .success(let end): book.renewed(grant, until: end)
        case .failure(let error as EventBusError) where error.code == .lockNotOwned || error.code == .leaseExpired:
            book.lost(grant)
        case .failure: break
        }
        return outcome
    }

    /// Returns the end of a lease according to the reply to a renewal. It is counted from the instant of sending, minus
    /// the possible drift between the two clocks.
    private static func renewed(
        _ grant: LockGrant,
        _ answer: RedisValue,
        sent: AnyClock.Instant
    ) throws -> AnyClock.Instant {
        switch answer.text {
        case "renewed": return sent.advanced(by: grant.ttl.lessDrift)
        case "foreign": throw EventBusError.lockNotOwned(grant)
        case "expired": throw EventBusError.leaseExpired(grant)
        default: throw EventBusError(.unavailable, "Redis answered a lock script with something that makes no sense")
        }
    }

    /// Releases the resource and hands it to the first waiter.
    ///
    /// The call returns within the time of one command. If the server has not answered by then, the release is repeated
    /// in the background until it does, for as long as the grant may last.
    public func release(_ grant: LockGrant) async throws {
        let deadline = clock.now.advanced(by: client.configuration.commandTimeout)
        var isRepeated = false
        while true {
            do {
                let answer = try await client.run(
                    rules.release,
                    keys: LockKeys(prefix: prefix, resource: grant.resource).all,
                    [.text(grant.owner)] + handOverArguments,
                    isIdempotent: false,
                    isCancellable: false,
                    limit: clock.now.duration(to: deadline)
                )
                // The second reply does not matter: if this is no longer the holder, the first request has arrived.
                if !isRepeated { try throwUnless("released", answer, grant) }
                book.ended(grant, isConfirmed: true)
                return
            } catch let error as EventBusError where error.code == .indeterminate && clock.now < deadline && !isRepeated
            {
                isRepeated = true
            } catch let error as EventBusError where error.code != .lockNotOwned && error.code != .leaseExpired {
                // Regardless of the reason for which the server currently refuses it, because the lease may last long.
                book.ended(grant)
                cleanup.start(releaseStep(grant))
                throw error
            }
        }
    }

    /// Releases the resource without waiting for the server.
    public func abandon(_ grant: LockGrant) {
        book.ended(grant)
        cleanup.start(releaseStep(grant))
    }

    /// Runs a script, which the server starts only if `grant` is still valid. It is sent like a value, because it and its
    /// reply may be large.
    func evaluate(
        _ script: String,
        keys: [String],
        _ arguments: [RedisArgument],
        _ grant: LockGrant
    ) async throws -> RedisValue {
        let holder = LockKeys(prefix: prefix, resource: grant.resource).holder
        do {
            return try await client.valueChannel.run(
                LockScripts.guarded(script),
                keys: [holder] + keys,
                [.text(grant.owner)] + arguments,
                isIdempotent: false
            )
        } catch let error as EventBusError {
            switch (error.underlying as? RedisServerError)?.kind {
            case "LEASEEXPIRED": throw expired(grant)
            case "LEASEFOREIGN": throw foreign(grant)
            default: throw error
            }
        }
    }

    // MARK: Replies

    var channelPrefix: String { "\(prefix):lock-wake:" }

    var handOverArguments: [RedisArgument] {
        [.integer(handOverTime.wholeMilliseconds), .text(channelPrefix)]
    }

    /// Returns the end of a lease, counted from the instant of sending, minus the possible drift between the two
    /// clocks.
    func validity(from sent: AnyClock.Instant, _ ttl: Duration) -> AnyClock.Instant {
        sent.advanced(by: ttl.lessDrift)
    }

    /// Releases the resource, and waits for that for `grace` at most.
    func giveBack(_ grant: LockGrant, grace: Duration) async {
        book.ended(grant)
        await cleanup.run(releaseStep(grant), grace: grace)
    }

    private func releaseStep(_ grant: LockGrant) -> RedisCleanup.Step {
        RedisCleanup.Step(
            script: rules.release,
            keys: LockKeys(prefix: prefix, resource: grant.resource).all,
            arguments: [.text(grant.owner)] + handOverArguments,
            limit: grant.ttl
        )
    }

    private func throwUnless(_ expected: String, _ answer: RedisValue, _ grant: LockGrant) throws {
        switch answer.text {
        case expected: return
        case "foreign": throw foreign(grant)
        case "expired": throw expired(grant)
        default: throw EventBusError(.unavailable, "Redis answered a lock script with something that makes no sense")
        }
    }

    private func foreign(_ grant: LockGrant) -> EventBusError {
        book.lost(grant)
        return .lockNotOwned(grant)
    }

    private func expired(_ grant: LockGrant) -> EventBusError {
        book.lost(grant)
        return .leaseExpired(grant)
    }
}

extension EventBusError {
    static func lockNotOwned(_ grant: LockGrant) -> EventBusError {
        EventBusError(.lockNotOwned, "another holds '\(grant.resource)' by now; this lease ended before")
    }

    static func leaseExpired(_ grant: LockGrant) -> EventBusError {
        EventBusError(.leaseExpired, "the lease of '\(grant.resource)' has ended; acquire it again")
    }
}

extension Duration {
    /// The duration minus the possible drift of the clocks of a server and this machine during it.
    var lessDrift: Duration { self - self / 100 - .milliseconds(2) }
}

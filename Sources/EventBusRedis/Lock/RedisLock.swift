public import EventBus

/// A ``/EventBus/DistributedLock`` on one Redis server.
///
/// Waiters stand in line on the server and are woken by the release, which hands the lock to the first of them in the
/// same step. However many wait, a process needs one connection for commands and one for messages. Fencing tokens are
/// the server's time in microseconds, or one more than the last, whichever is greater.
///
/// **What it does not promise.** Redis replicates after it has answered: a failover may forget a grant, and two holders
/// may overlap until the first lease ends. A holder that is stopped for longer than its lease overlaps as well. Check the
/// fencing token where the effect is; it keeps growing across both, provided that the servers' clocks agree to within a
/// lease. A server that evicts keys may evict a lock: use a `noeviction` policy. ``RedisQuorumLock`` survives the loss of
/// a server.
public final class RedisLock: DistributedLock, LeaseRenewing {
    /// The time by which leases and waits are measured.
    public let clock: AnyClock
    let client: RedisClient
    let prefix: String
    let handOverTime: Duration
    /// The longest time that a question to the server may take.
    let askTime: Duration
    /// Whether a waiter in line stays there while the server does not answer.
    let outlivesOutages: Bool
    /// What the server knows this object by.
    let process: String
    let waiters: LockWaiters
    let subscriber: RedisConnection
    let cleanup: RedisCleanup
    private let book: LockBook
    private let renewals: LeaseRenewals

    /// A lock on the server of `client`.
    ///
    /// - Parameters:
    ///   - client: the connection to the server.
    ///   - prefix: what the keys begin with; without braces. Locks with different prefixes do not see each other.
    ///   - handOverTime: how long a waiter that was handed the lock may take to say that it has it, before the next in
    ///     line gets it; 500 ms unless stated.
    public convenience init(
        _ client: RedisClient,
        prefix: String = "eventbus",
        handOverTime: Duration = .milliseconds(500)
    ) {
        self.init(
            client,
            prefix: prefix,
            handOverTime: handOverTime,
            askTime: client.configuration.commandTimeout,
            outlivesOutages: true,
            metrics: LockMetrics(prefix: prefix)
        )
    }

    /// A lock that counts nothing without `metrics`, and gives up a silent server after `askTime`.
    init(
        _ client: RedisClient,
        prefix: String,
        handOverTime: Duration,
        askTime: Duration,
        outlivesOutages: Bool,
        metrics: LockMetrics?
    ) {
        precondition(!prefix.contains("{") && !prefix.contains("}"), "the prefix of keys cannot have braces")
        let handOverTime = max(.milliseconds(1), handOverTime)
        let process = String.randomHexadecimal(words: 2)
        let clock = AnyClock.continuous
        let waiters = LockWaiters(clock: clock)
        let arguments = [RedisArgument.integer(handOverTime.wholeMilliseconds), .text("\(prefix):lock-wake:")]
        self.client = client
        self.clock = clock
        self.prefix = prefix
        self.handOverTime = handOverTime
        self.askTime = askTime
        self.outlivesOutages = outlivesOutages
        self.process = process
        self.waiters = waiters
        self.book = LockBook(clock: clock, metrics: metrics)
        self.cleanup = RedisCleanup(client)
        self.renewals = LeaseRenewals(clock: clock, thread: client.thread) {
            [connection = client.connection] grant, done in
            let sent = clock.now
            connection.run(
                LockScripts.renew,
                keys: [LockKeys(prefix: prefix, resource: grant.resource).holder],
                [.text(grant.owner), .integer(grant.ttl.wholeMilliseconds)],
                timeout: min(connection.configuration.commandTimeout, grant.ttl)
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
                // One that has given up meanwhile, and whose word has not arrived.
                if !waiters.wake(token), let keys = LockKeys(holderKey: parts[1]) {
                    client.post(LockScripts.decline, keys: keys.all, [.text(token)] + arguments)
                }
            }
        }
    }

    /// Asks for `resource` and waits for it for at most `wait`.
    ///
    /// A server that cannot be reached is asked again until the wait is over. One that says nothing does not hold the call
    /// up: it ends with `wait`, or 100 ms if that is longer, where `wait` is zero with the time of one command; 100 ms
    /// later at most. So does one that is cancelled.
    ///
    /// - Throws: as the protocol says; `.lockTimedOut` only where another held the resource, `.unavailable` where Redis
    ///   could not be asked; the latter at once where it is out of memory.
    public func acquire(_ resource: String, ttl: Duration, wait: Duration) async throws -> LockGrant {
        try await book.acquisition { try await acquireUncounted(resource, ttl: ttl, wait: wait) }
    }

    /// Makes a grant valid for its whole time to live again.
    public func renew(_ grant: LockGrant) async throws -> AnyClock.Instant {
        let sent = clock.now
        let answer = try await client.run(
            LockScripts.renew,
            keys: [LockKeys(prefix: prefix, resource: grant.resource).holder],
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

    /// Notes how a renewal went.
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

    /// The end of a lease by the answer to a renewal. Counted from the instant of sending, less what the two clocks may
    /// drift apart.
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

    /// Gives the resource back and hands it to the first in line.
    ///
    /// It ends within the time of one command. Where the server has not answered by then, it is told again until it
    /// does, for as long as the grant may last.
    public func release(_ grant: LockGrant) async throws {
        let deadline = clock.now.advanced(by: client.configuration.commandTimeout)
        var isRepeated = false
        while true {
            do {
                let answer = try await client.run(
                    LockScripts.release,
                    keys: LockKeys(prefix: prefix, resource: grant.resource).all,
                    [.text(grant.owner)] + handOverArguments,
                    isIdempotent: false,
                    isCancellable: false,
                    limit: clock.now.duration(to: deadline)
                )
                // Whatever it answers the second time: if this is no longer the holder, the first one has arrived.
                if !isRepeated { try throwUnless("released", answer, grant) }
                book.ended(grant, isConfirmed: true)
                return
            } catch let error as EventBusError where error.code == .indeterminate && clock.now < deadline && !isRepeated
            {
                isRepeated = true
            } catch let error as EventBusError where error.code != .lockNotOwned && error.code != .leaseExpired {
                // Whatever the server refuses it for at present: the lease may last for long.
                book.ended(grant)
                cleanup.start(releaseStep(grant))
                throw error
            }
        }
    }

    /// Gives the resource back without waiting for the server.
    public func abandon(_ grant: LockGrant) {
        book.ended(grant)
        cleanup.start(releaseStep(grant))
    }

    /// Runs a script that the server starts only if `grant` still holds.
    func evaluate(
        _ script: String,
        keys: [String],
        _ arguments: [RedisArgument],
        _ grant: LockGrant
    ) async throws -> RedisValue {
        let holder = LockKeys(prefix: prefix, resource: grant.resource).holder
        do {
            return try await client.run(
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

    // MARK: what the server says

    var channelPrefix: String { "\(prefix):lock-wake:" }

    var handOverArguments: [RedisArgument] {
        [.integer(handOverTime.wholeMilliseconds), .text(channelPrefix)]
    }

    /// Counted from the instant of sending, less what the two clocks may drift apart.
    func validity(from sent: AnyClock.Instant, _ ttl: Duration) -> AnyClock.Instant {
        sent.advanced(by: ttl.lessDrift)
    }

    /// Gives the resource back, and waits for that for `grace` at most.
    func giveBack(_ grant: LockGrant, grace: Duration) async {
        book.ended(grant)
        await cleanup.run(releaseStep(grant), grace: grace)
    }

    private func releaseStep(_ grant: LockGrant) -> RedisCleanup.Step {
        RedisCleanup.Step(
            script: LockScripts.release,
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
    /// A time to live, less what the clocks of a server and of this machine may drift apart in it.
    var lessDrift: Duration { self - self / 100 - .milliseconds(2) }
}

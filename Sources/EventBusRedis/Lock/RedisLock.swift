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
/// lease. A server that evicts keys may evict a lock: use a `noeviction` policy.
public final class RedisLock: DistributedLock {
    /// The time by which leases and waits are measured.
    public let clock: AnyClock
    private let client: RedisClient
    private let prefix: String
    private let handOverTime: Duration
    /// What the server knows this object by.
    private let process: String
    private let waiters: LockWaiters
    private let metrics: LockMetrics
    private let subscriber: RedisConnection

    /// A lock on the server of `client`.
    ///
    /// - Parameters:
    ///   - client: the connection to the server.
    ///   - prefix: what the keys begin with; without braces. Locks with different prefixes do not see each other.
    ///   - handOverTime: how long a waiter that was handed the lock may take to say that it has it, before the next in
    ///     line gets it; 500 ms unless stated.
    public init(_ client: RedisClient, prefix: String = "eventbus", handOverTime: Duration = .milliseconds(500)) {
        precondition(!prefix.contains("{") && !prefix.contains("}"), "the prefix of keys cannot have braces")
        precondition(handOverTime > .zero, "the hand-over time has to be positive")
        let process = String.randomHexadecimal(words: 2)
        let clock = AnyClock.continuous
        let waiters = LockWaiters(clock: clock)
        let arguments = [RedisArgument.integer(handOverTime.wholeMilliseconds), .text("\(prefix):lock-wake:")]
        self.client = client
        self.clock = clock
        self.prefix = prefix
        self.handOverTime = handOverTime
        self.process = process
        self.waiters = waiters
        self.metrics = LockMetrics(prefix: prefix)
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
    public func acquire(_ resource: String, ttl: Duration, wait: Duration) async throws -> LockGrant {
        let start = clock.now
        do {
            let grant = try await acquireUncounted(resource, ttl: ttl, wait: wait)
            metrics.noteGrant(after: start.duration(to: clock.now))
            return grant
        } catch {
            metrics.noteFailure(error)
            throw error
        }
    }

    private func acquireUncounted(_ resource: String, ttl: Duration, wait: Duration) async throws -> LockGrant {
        try Task.checkCancellation()
        let attempt = Attempt(
            resource: resource,
            keys: LockKeys(prefix: prefix, resource: resource),
            token: "\(process).\(String.randomHexadecimal(words: 1))",
            ttl: ttl
        )
        do {
            guard wait > .zero else {
                let answer = try await ask(attempt, waits: false)
                try Task.checkCancellation()
                if case .granted(let grant) = answer { return grant }
                throw EventBusError(.lockTimedOut, "'\(resource)' is held by another")
            }
            return try await stand(attempt, wait: wait)
        } catch let error as EventBusError where error.code == .lockTimedOut && wait <= .zero {
            throw error
        } catch {
            await leave(attempt)
            throw error
        }
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
        try throwUnless("renewed", answer, grant)
        return validity(from: sent, grant.ttl)
    }

    /// Gives the resource back and hands it to the first in line.
    public func release(_ grant: LockGrant) async throws {
        let keys = LockKeys(prefix: prefix, resource: grant.resource).all
        let arguments = [.text(grant.owner)] + handOverArguments
        do {
            let answer = try await client.run(
                LockScripts.release,
                keys: keys,
                arguments,
                isIdempotent: false,
                isCancellable: false
            )
            try throwUnless("released", answer, grant)
        } catch let error as EventBusError where error.code == .indeterminate {
            // Whatever it answers now: if this is no longer the holder, the first one has arrived.
            _ = try await client.run(
                LockScripts.release,
                keys: keys,
                arguments,
                isIdempotent: false,
                isCancellable: false
            )
        }
    }

    /// Gives the resource back without waiting for the server.
    public func abandon(_ grant: LockGrant) {
        client.post(
            LockScripts.release,
            keys: LockKeys(prefix: prefix, resource: grant.resource).all,
            [.text(grant.owner)] + handOverArguments
        )
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

    // MARK: waiting

    private struct Attempt {
        let resource: String
        let keys: LockKeys
        let token: String
        let ttl: Duration
    }

    private enum Answer {
        case granted(LockGrant)
        /// Another has it, for this time at most; it may have been handed to a waiter that has not taken it yet.
        case held(left: Duration, handedTo: String)
    }

    /// Waits in line, and asks again when woken, or when it is this waiter's turn to look after the line.
    private func stand(_ attempt: Attempt, wait: Duration) async throws -> LockGrant {
        let deadline = clock.now.advanced(by: wait)
        subscriber.open()
        var isInLine = false
        if !waiters.isListening {
            let answer = try await ask(attempt, waits: false)
            try Task.checkCancellation()
            if case .granted(let grant) = answer { return grant }
            try await waiters.settle(within: min(wait, .seconds(1)))
        }
        waiters.join(attempt.token, for: attempt.resource)
        defer { waiters.leave(attempt.token) }
        while true {
            var pause = pollInterval
            do {
                let answer = try await ask(attempt, waits: true)
                try Task.checkCancellation()
                switch answer {
                case .granted(let grant): return grant
                case .held(let left, let handedTo):
                    isInLine = true
                    if handedTo != attempt.token { waiters.wake(handedTo) }
                    pause = min(pause, left + .milliseconds(Int64.random(in: 1...10)))
                }
            } catch let error as EventBusError where error.isTransient && isInLine && clock.now < deadline {
                // The server may be back before the wait is over.
            }
            guard clock.now < deadline else {
                throw EventBusError(
                    .lockTimedOut,
                    "'\(attempt.resource)' is held by another and was not free within \(wait)"
                )
            }
            let fallback = clock.now.advanced(by: pause)
            await waiters.sleep(
                attempt.token,
                until: waiters.isFirst(attempt.token) ? min(deadline, fallback) : deadline
            )
            try Task.checkCancellation()
        }
    }

    /// Often enough that a hand-over is noticed within its time even if its message is lost; drawn anew each time, so
    /// that processes do not ask in step.
    private var pollInterval: Duration { handOverTime * Double.random(in: 0.5...0.9) }

    private func ask(_ attempt: Attempt, waits: Bool) async throws -> Answer {
        let sent = clock.now
        // Not cancellable: what it did has to be known. Sent again if it is not, since its token makes it idempotent.
        let reply = try await client.run(
            LockScripts.acquire,
            keys: attempt.keys.all,
            [
                .text(attempt.token), .integer(attempt.ttl.wholeMilliseconds), waits ? "1" : "0",
                .integer(handOverTime.wholeMilliseconds), .text(channelPrefix),
                .integer((handOverTime * 4).wholeMilliseconds), waiters.isListening ? "+" : "-",
            ],
            isIdempotent: true,
            isCancellable: false
        )
        if let parts = reply.array, parts.count == 2, parts[0] == .integer(1),
            let fence = parts[1].text.flatMap({ UInt64($0) })
        {
            return .granted(
                LockGrant(
                    resource: attempt.resource,
                    owner: attempt.token,
                    fencingToken: fence,
                    ttl: attempt.ttl,
                    validUntil: validity(from: sent, attempt.ttl)
                )
            )
        }
        guard let parts = reply.array, parts.count == 3, let left = parts[1].integer, let handedTo = parts[2].text
        else {
            throw EventBusError(.unavailable, "Redis answered a lock script with something that makes no sense")
        }
        return .held(left: .milliseconds(max(0, left)), handedTo: handedTo)
    }

    /// Takes an attempt out of line and gives back what it may have got.
    private func leave(_ attempt: Attempt) async {
        _ = try? await client.run(
            LockScripts.leave,
            keys: attempt.keys.all,
            [.text(attempt.token)] + handOverArguments,
            isIdempotent: true,
            isCancellable: false
        )
    }

    private var channelPrefix: String { "\(prefix):lock-wake:" }

    private var handOverArguments: [RedisArgument] {
        [.integer(handOverTime.wholeMilliseconds), .text(channelPrefix)]
    }

    /// Counted from the instant of sending, less what the two clocks may drift apart.
    private func validity(from sent: AnyClock.Instant, _ ttl: Duration) -> AnyClock.Instant {
        sent.advanced(by: ttl - ttl / 100 - .milliseconds(2))
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
        metrics.noteLoss()
        return EventBusError(.lockNotOwned, "another holds '\(grant.resource)' by now; this lease ended before")
    }

    private func expired(_ grant: LockGrant) -> EventBusError {
        metrics.noteLoss()
        return EventBusError(.leaseExpired, "the lease of '\(grant.resource)' has ended; acquire it again")
    }
}

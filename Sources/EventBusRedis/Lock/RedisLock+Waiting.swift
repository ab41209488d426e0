import EventBus

extension RedisLock {
    /// One call that requests a resource.
    private struct Attempt {
        let resource: String
        let keys: LockKeys
        let token: String
        let ttl: Duration
        /// A Boolean value indicating whether the server may keep the lock or a place in the queue for this call.
        var mayBeKnown = false
    }

    private enum Answer {
        case granted(LockGrant)
        /// Another holder has the resource, for this time at most. Its process wakes the waiter that has to ask next,
        /// if any: the one that was handed the resource, or the first one.
        case held(left: Duration, next: String)
    }

    /// The time that a call may take beyond its deadline to give back a lock that it may have got.
    static var grace: Duration { .milliseconds(100) }

    func acquireUncounted(
        _ resource: String,
        ttl: Duration,
        wait: Duration,
        tokenSuffix: String
    ) async throws -> LockGrant {
        try Task.checkCancellation()
        var attempt = Attempt(
            resource: resource,
            keys: LockKeys(prefix: prefix, resource: resource),
            token: "\(process).\(String.randomHexadecimal(words: 1))\(tokenSuffix)",
            ttl: ttl
        )
        do {
            if wait > .zero { return try await stand(&attempt, wait: wait) }
            let answer = try await ask(&attempt, waits: false, limit: askTime)
            try Task.checkCancellation()
            if case .granted(let grant) = answer { return grant }
            throw EventBusError(.lockTimedOut, "'\(resource)' is held by another")
        } catch {
            if attempt.mayBeKnown { await cleanup.run(leaving(attempt), grace: Self.grace) }
            guard let error = error as? EventBusError, error.code == .timedOut else { throw error }
            throw EventBusError(.unavailable, "Redis could not be asked for '\(resource)' in time", underlying: error)
        }
    }

    /// Waits in the queue. Asks again when it is woken, or when this waiter has to poll on behalf of the queue.
    private func stand(_ attempt: inout Attempt, wait: Duration) async throws -> LockGrant {
        let deadline = clock.now.advanced(by: wait)
        subscriber.open()
        // The error that prevented the acquisition, unless another holder did.
        var obstacle: EventBusError?
        if !waiters.isListening {
            do {
                let answer = try await ask(&attempt, waits: false, limit: timeLeft(until: deadline))
                try Task.checkCancellation()
                if case .granted(let grant) = answer { return grant }
            } catch let error as EventBusError where isWorthWaiting(error) {
                obstacle = error
            }
            try await waiters.settle(within: min(wait, .seconds(1)))
        }
        let token = attempt.token
        waiters.join(token, for: attempt.resource)
        var (isWaiting, isGranted) = (false, false)
        defer {
            waiters.leave(token)
            if isWaiting { book.metrics?.noteWaitEnded(isGranted: isGranted) }
        }
        while true {
            var pause = pollInterval
            do {
                let answer = try await ask(&attempt, waits: true, limit: timeLeft(until: deadline))
                try Task.checkCancellation()
                obstacle = nil
                switch answer {
                case .granted(let grant):
                    isGranted = true
                    return grant
                case .held(let left, let next):
                    if !isWaiting { book.metrics?.noteWaitBegan() }
                    isWaiting = true
                    if next != token { waiters.wake(next) }
                    pause = min(pause, left + .milliseconds(Int64.random(in: 1...10)))
                }
            } catch let error as EventBusError where isWorthWaiting(error) {
                // The server may be back before the wait ends.
                obstacle = error
                pause = min(pause, .milliseconds(Int64.random(in: 50...150)))
            }
            guard clock.now < deadline else {
                if let obstacle { throw unreachable(attempt.resource, within: wait, obstacle) }
                throw EventBusError(
                    .lockTimedOut,
                    "'\(attempt.resource)' is held by another and was not free within \(wait)"
                )
            }
            // If the outcome of the last question is unknown, this waiter asks again even if it is not the first one,
            // because the outcome may have been a grant.
            let looksAfterItself = obstacle != nil || waiters.isFirst(token)
            let fallback = clock.now.advanced(by: pause)
            await waiters.sleep(token, until: looksAfterItself ? min(deadline, fallback) : deadline)
            try Task.checkCancellation()
        }
    }

    /// Returns a Boolean value indicating whether to keep waiting after an error, because the server may be back in
    /// time. If it is out of memory, the error is thrown immediately.
    private func isWorthWaiting(_ error: EventBusError) -> Bool {
        outlivesOutages && error.isTransient && !error.isOutOfMemory
    }

    private func unreachable(_ resource: String, within wait: Duration, _ cause: EventBusError) -> EventBusError {
        EventBusError(
            .unavailable,
            "'\(resource)' could not be locked within \(wait), because Redis could not be asked",
            underlying: cause
        )
    }

    /// Returns the timeout of one question. A silent server must not delay the call beyond its deadline, and a short
    /// wait must leave enough time for a reply.
    private func timeLeft(until deadline: AnyClock.Instant) -> Duration {
        min(askTime, max(clock.now.duration(to: deadline), Self.grace))
    }

    /// The argument that tells whether this process gets messages: `+` if `PUBLISH` counts it as a subscriber, `~` if it
    /// may be subscribed at another node of a cluster, which `PUBLISH` does not count, and `-` if it gets none.
    private var listening: RedisArgument { !waiters.isListening ? "-" : client.isCluster ? "~" : "+" }

    /// The interval between two polls. It is short enough that a hand-over is noticed in time even if its message is
    /// lost, and random, so that processes do not poll in step.
    private var pollInterval: Duration { handOverTime * Double.random(in: 0.5...0.9) }

    private func ask(_ attempt: inout Attempt, waits: Bool, limit: Duration) async throws -> Answer {
        let sent = clock.now
        let reply: RedisValue
        do {
            // Sent again if its outcome is unknown, because its token makes it idempotent.
            reply = try await client.run(
                rules.acquire,
                keys: attempt.keys.all,
                [
                    .text(attempt.token), .integer(attempt.ttl.wholeMilliseconds), waits ? "1" : "0",
                    .integer(handOverTime.wholeMilliseconds), .text(channelPrefix),
                    .integer((handOverTime * 4).wholeMilliseconds), listening,
                ],
                isIdempotent: true,
                limit: limit
            )
        } catch {
            let code = (error as? EventBusError)?.code
            if code == nil || code == .indeterminate { attempt.mayBeKnown = true }
            throw error
        }
        if waits { attempt.mayBeKnown = true }
        if let parts = reply.array, parts.count == 2, parts[0] == .integer(1),
            let fence = parts[1].text.flatMap({ UInt64($0) })
        {
            attempt.mayBeKnown = true
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
        guard let parts = reply.array, parts.count == 3, let left = parts[1].integer, let next = parts[2].text
        else {
            throw EventBusError(.unavailable, "Redis answered a lock script with something that makes no sense")
        }
        return .held(left: .milliseconds(max(0, left)), next: next)
    }

    /// Returns the step that removes an attempt from the queue and gives back the lock that it may have got.
    private func leaving(_ attempt: Attempt) -> RedisCleanup.Step {
        RedisCleanup.Step(
            script: rules.leave,
            keys: attempt.keys.all,
            arguments: [.text(attempt.token)] + handOverArguments,
            limit: max(attempt.ttl, handOverTime)
        )
    }
}

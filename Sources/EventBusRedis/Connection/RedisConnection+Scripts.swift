import EventBus

extension RedisConnection {
    /// Runs a script by its name, or by its text where the server has forgotten it: a restart, a failover and
    /// `SCRIPT FLUSH` all make it forget.
    ///
    /// - Parameters:
    ///   - isIdempotent: whether running it twice is as good as once: then it is sent again if its outcome was unknown.
    ///   - isSentInFull: whether it goes by its text at once: for a caller that may not wait for the answer that its name
    ///     is not known.
    ///   - limit: how long all of that may take together; unless stated, each of the two may take the time of one
    ///     command.
    nonisolated func run(
        _ script: RedisScript,
        keys: [String],
        _ arguments: [RedisArgument],
        isIdempotent: Bool,
        isCancellable: Bool = true,
        isSentInFull: Bool = false,
        limit: Duration? = nil
    ) async throws -> RedisValue {
        let deadline = limit.map { ContinuousClock.now.advanced(by: $0) }
        do {
            return try await runOnce(script, keys, arguments, isCancellable, isSentInFull, deadline)
        } catch let error as EventBusError where error.code == .indeterminate && isIdempotent {
            if let deadline, deadline <= .now { throw error }
            do {
                return try await runOnce(script, keys, arguments, isCancellable, isSentInFull, deadline)
            } catch let again as EventBusError where again.code != .indeterminate && again.isTransient {
                // What happened to the first is still not known.
                throw error
            }
        }
    }

    private nonisolated func runOnce(
        _ script: RedisScript,
        _ keys: [String],
        _ arguments: [RedisArgument],
        _ isCancellable: Bool,
        _ isSentInFull: Bool,
        _ deadline: ContinuousClock.Instant?
    ) async throws -> RedisValue {
        func send(_ command: RedisCommand) async throws -> RedisValue {
            let timeout = deadline.map { min(ContinuousClock.now.duration(to: $0), configuration.commandTimeout) }
            return try await self.send(
                command,
                timeout: timeout,
                cancellation: isCancellable ? .atOnce : .never
            )
        }
        guard !isSentInFull else { return try await send(script.load(keys, arguments)).orThrow() }
        let reply = try await send(script.call(keys, arguments))
        guard case .error(let message) = reply, RedisServerError(message).kind == "NOSCRIPT" else {
            return try reply.orThrow()
        }
        return try await send(script.load(keys, arguments)).orThrow()
    }

    /// What a script is called with.
    typealias Call = (keys: [String], arguments: [RedisArgument])

    /// Runs a script for each list of keys, all of them sent in one go; a reply may be an error.
    nonisolated func run(_ script: RedisScript, each calls: [Call], timeout: Duration? = nil) async throws
        -> [RedisValue]
    {
        var replies = try await send(
            contentsOf: calls.map { script.call($0.keys, $0.arguments) },
            timeout: timeout
        )
        let forgotten = replies.indices.filter { index in
            guard case .error(let message) = replies[index] else { return false }
            return RedisServerError(message).kind == "NOSCRIPT"
        }
        guard !forgotten.isEmpty else { return replies }
        let again = try await send(
            contentsOf: forgotten.map { script.load(calls[$0].keys, calls[$0].arguments) },
            timeout: timeout
        )
        for (index, reply) in zip(forgotten, again) { replies[index] = reply }
        return replies
    }

    /// Runs a script on behalf of no task; by its text where the server has forgotten its name.
    nonisolated func run(
        _ script: RedisScript,
        keys: [String],
        _ arguments: [RedisArgument],
        timeout: Duration,
        onReply: @escaping @Sendable (Result<RedisValue, any Error>) -> Void
    ) {
        send(script.call(keys, arguments), timeout: timeout) { [weak self] result in
            if let self, case .success(.error(let message)) = result, RedisServerError(message).kind == "NOSCRIPT" {
                send(script.load(keys, arguments), timeout: timeout, onReply: onReply)
            } else {
                onReply(result)
            }
        }
    }

    /// Sends a script without waiting for what becomes of it.
    nonisolated func post(_ script: RedisScript, keys: [String], _ arguments: [RedisArgument]) {
        // By its text, since nobody would notice that its name is not known.
        post(script.load(keys, arguments))
    }

    /// Throws unless the server answers and is a primary, as far as it tells.
    nonisolated func requirePrimary() async throws {
        let reply = try await send(Handshake.askRole)
        if case .error(let message) = reply, RedisServerError(message).asBusError.code != .unavailable {
            // The user may not ask; any answer to a plain question has to do.
            let pong = try await send(RedisCommand("PING")).orThrow()
            guard Handshake.isPong(pong) else {
                throw EventBusError(.unavailable, "Redis answered PING with something else than PONG")
            }
            return
        }
        try Handshake.requirePrimary(try reply.orThrow())
    }
}

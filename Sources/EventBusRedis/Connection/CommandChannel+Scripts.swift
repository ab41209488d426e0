import EventBus

extension CommandChannel {
    /// Runs a script by its digest, or by its source if the server does not know it. A restart, a failover and `SCRIPT
    /// FLUSH` make the server forget scripts.
    ///
    /// - Parameters:
    ///   - isIdempotent: `true` if running the script twice has the same effect as running it once. It is then sent
    ///     again if its outcome is unknown.
    ///   - isSentInFull: `true` to send the source immediately, for callers that cannot wait for the reply that the
    ///     digest is unknown.
    ///   - limit: The maximum duration of the whole call. Defaults to the time of one command for each of the two
    ///     attempts.
    ///   - onReply: A brief closure that is called with each reply on a connection's thread, before the waiting task is
    ///     resumed. The reply may be an error.
    func run(
        _ script: RedisScript,
        keys: [String],
        _ arguments: [RedisArgument],
        isIdempotent: Bool,
        isCancellable: Bool = true,
        isSentInFull: Bool = false,
        limit: Duration? = nil,
        onReply: (@Sendable (RedisValue) -> Void)? = nil
    ) async throws -> RedisValue {
        let deadline = limit.map { ContinuousClock.now.advanced(by: $0) }
        return try await againIfUnknown(isIdempotent, until: deadline) {
            try await runOnce(script, keys, arguments, isCancellable, isSentInFull, deadline, onReply)
        }
    }

    /// Runs a step, and once more if its outcome is unknown and running it twice has the same effect.
    private func againIfUnknown<Reply>(
        _ isIdempotent: Bool,
        until deadline: ContinuousClock.Instant? = nil,
        _ step: () async throws -> Reply
    ) async throws -> Reply {
        do {
            return try await step()
        } catch let error as EventBusError where error.code == .indeterminate && isIdempotent {
            if let deadline, deadline <= .now { throw error }
            do {
                return try await step()
            } catch let again as EventBusError where again.code != .indeterminate {
                // The outcome of the first attempt is still unknown, even if the second one was refused for good.
                throw EventBusError(.indeterminate, error.message, underlying: again)
            }
        }
    }

    private func runOnce(
        _ script: RedisScript,
        _ keys: [String],
        _ arguments: [RedisArgument],
        _ isCancellable: Bool,
        _ isSentInFull: Bool,
        _ deadline: ContinuousClock.Instant?,
        _ onReply: (@Sendable (RedisValue) -> Void)?
    ) async throws -> RedisValue {
        func send(_ command: RedisCommand) async throws -> RedisValue {
            var command = command
            command.onReply = onReply
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

    /// The keys and arguments of a script call.
    typealias Call = (keys: [String], arguments: [RedisArgument])

    /// Runs a script for each list of keys. All calls are sent together, and each reply may be an error.
    ///
    /// - Parameters:
    ///   - isIdempotent: `true` to send those calls again whose outcome is unknown.
    ///   - timeout: The maximum duration of each attempt. Defaults to that of a command.
    ///   - waitsForOthers: `true` to wait for the data of other commands while that moves, for at most the timeout of a
    ///     command.
    func run(
        _ script: RedisScript,
        each calls: [Call],
        isIdempotent: Bool = false,
        timeout: Duration? = nil,
        waitsForOthers: Bool = false
    ) async throws -> [RedisValue] {
        var replies = try await againIfUnknown(isIdempotent) {
            try await runOnce(script, each: calls, timeout, waitsForOthers)
        }
        // Of the calls to a cluster, only some may be affected.
        let unknown = isIdempotent ? replies.indices.filter { replies[$0].isUnknownOutcome } : []
        guard !unknown.isEmpty else { return replies }
        let again = try? await runOnce(script, each: unknown.map { calls[$0] }, timeout, waitsForOthers)
        for (index, reply) in zip(unknown, again ?? []) {
            // The outcome of the first attempt is still unknown if the second one was refused.
            if case .error = reply { continue }
            replies[index] = reply
        }
        return replies
    }

    private func runOnce(
        _ script: RedisScript,
        each calls: [Call],
        _ timeout: Duration?,
        _ waitsForOthers: Bool
    ) async throws -> [RedisValue] {
        func send(_ commands: [RedisCommand]) async throws -> [RedisValue] {
            var commands = commands
            for index in commands.indices { commands[index].waitsForOthers = waitsForOthers }
            return try await self.send(contentsOf: commands, timeout: timeout)
        }
        var replies = try await send(calls.map { script.call($0.keys, $0.arguments) })
        let forgotten = replies.indices.filter { index in
            guard case .error(let message) = replies[index] else { return false }
            return RedisServerError(message).kind == "NOSCRIPT"
        }
        guard !forgotten.isEmpty else { return replies }
        let again = try await send(forgotten.map { script.load(calls[$0].keys, calls[$0].arguments) })
        for (index, reply) in zip(forgotten, again) { replies[index] = reply }
        return replies
    }

    /// Runs a script without a waiting task. It is sent by its source if the server does not know its digest.
    func run(
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

    /// Sends a script without waiting for its result.
    func post(_ script: RedisScript, keys: [String], _ arguments: [RedisArgument]) {
        // By its source, because nobody would notice that its digest is unknown.
        post(script.load(keys, arguments))
    }
}

extension RedisConnection {
    /// Throws unless the server answers, is a primary, if it tells its role, and can save its data. If it cannot save,
    /// it refuses `PING`, and all writes.
    nonisolated func requirePrimary() async throws {
        let replies = try await send(contentsOf: [RoleQuestion.role.command, RedisCommand("PING")])
        if try !isPrimary(by: replies[0], to: .role) {
            // Without a permission to ask for the role, the reply to `PING` has to suffice.
            _ = try isPrimary(by: try await send(RoleQuestion.hello.command), to: .hello)
        }
        guard Handshake.isPong(try replies[1].orThrow()) else {
            throw EventBusError(.unavailable, "Redis answered PING with something else than PONG")
        }
    }

    /// Returns `false` if the server refuses to tell its role. Throws unless it is a primary otherwise.
    private nonisolated func isPrimary(by reply: RedisValue, to question: RoleQuestion) throws(EventBusError) -> Bool {
        if case .error(let message) = reply, RedisServerError(message).asBusError.code != .unavailable { return false }
        try question.requirePrimary(reply.orThrow())
        return true
    }
}

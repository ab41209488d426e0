import EventBus

/// The connections to the nodes of a cluster. Each command is sent to the node that serves its key, and again if that
/// node redirects it.
///
/// A node that cannot be reached fails the commands for its slots like a server of its own. Each failure makes the
/// cluster ask who serves them by now.
final class ClusterChannel: CommandChannel {
    let configuration: RedisConfiguration
    private let cluster: RedisCluster
    private let connection: @Sendable (RedisCluster.Node) -> RedisConnection

    /// The number of times that a command is redirected without a pause.
    private static let maximumHops = 5

    /// - Parameter connection: A function that returns which of a node's connections is used.
    init(
        _ cluster: RedisCluster,
        _ configuration: RedisConfiguration,
        connection: @escaping @Sendable (RedisCluster.Node) -> RedisConnection
    ) {
        self.cluster = cluster
        self.configuration = configuration
        self.connection = connection
    }

    func send(
        _ command: consuming RedisCommand,
        timeout: Duration?,
        cancellation: RedisConnection.Cancellation
    ) async throws -> RedisValue {
        try await send(command, until: deadline(timeout), cancellation)
    }

    private func deadline(_ timeout: Duration?) -> AnyClock.Instant {
        AnyClock.continuous.now.advanced(by: timeout ?? configuration.commandTimeout)
    }

    /// Sends a command until a node executes or refuses it.
    private func send(
        _ command: consuming RedisCommand,
        until deadline: AnyClock.Instant,
        _ cancellation: RedisConnection.Cancellation
    ) async throws -> RedisValue {
        let clock = AnyClock.continuous
        let slot = command.slot
        var command = command
        var node = try await find(slot, until: deadline, cancellation)
        var hops = 0
        var backoff = Backoff(initial: .milliseconds(10), maximum: .milliseconds(100))
        while true {
            let reply: RedisValue
            do {
                let left = max(.milliseconds(1), clock.now.duration(to: deadline))
                reply = try await connection(node).send(command, timeout: left, cancellation: cancellation)
            } catch {
                note(error)
                throw error
            }
            guard let redirection = Redirection(reply, from: node.address.host) else { return reply.notingMovingSlot }
            hops += 1
            var mustPause = hops > Self.maximumHops
            command.isAsking = false
            switch redirection {
            case .moved(let slot, let address):
                cluster.noteMoved(slot, to: address)
                node = try cluster.node(at: address)
            case .ask(let address):
                command.isAsking = true
                node = try cluster.node(at: address)
            case .tryAgain:
                mustPause = true
            case .down:
                cluster.ask()
                return reply
            }
            guard mustPause else { continue }
            let pause = backoff.pause()
            backoff.noteFailure()
            guard clock.now.advanced(by: pause) < deadline else {
                return redirection == .tryAgain
                    ? reply : .error("CLUSTERDOWN the nodes do not agree who serves this key")
            }
            try await Self.sleep(pause, cancellation)
            command.isAsking = false
            node = try cluster.knownNode(for: slot)
        }
    }

    private func find(
        _ slot: Int?,
        until deadline: AnyClock.Instant,
        _ cancellation: RedisConnection.Cancellation
    ) async throws -> RedisCluster.Node {
        if let node = try? cluster.knownNode(for: slot) { return node }
        guard cancellation == .never else { return try await cluster.node(for: slot, until: deadline) }
        return try await withoutCancellation { [cluster] in try await cluster.node(for: slot, until: deadline) }
    }

    private static func sleep(_ pause: Duration, _ cancellation: RedisConnection.Cancellation) async throws {
        guard cancellation == .never else { return try await Task.sleep(for: pause) }
        await withoutCancellation { _ = try? await Task.sleep(for: pause) }
    }

    /// Asks who serves the slots of a node that failed.
    private func note(_ error: any Error) {
        if let error = error as? EventBusError, error.isTransient { cluster.ask() }
    }

    // MARK: Several commands

    /// Sends commands together to each node. If a node cannot be reached, the replies for its slots are errors, unless no
    /// node can be reached. They tell whether the commands may have been executed.
    func send(contentsOf commands: [RedisCommand], timeout: Duration?) async throws -> [RedisValue] {
        try Task.checkCancellation()
        guard !commands.isEmpty else { return [] }
        let deadline = deadline(timeout)
        var replies = [RedisValue](repeating: .null, count: commands.count)
        var failure: (any Error)?
        var hasAnswer = false
        var batches: [NodeAddress: (node: RedisCluster.Node, indices: [Int])] = [:]
        for (index, command) in commands.enumerated() {
            do {
                let node = try await find(command.slot, until: deadline, .whenLate)
                batches[node.address, default: (node, [])].indices.append(index)
            } catch let error as EventBusError {
                failure = error
                replies[index] = Self.reply(for: error)
            }
        }
        try await withThrowingTaskGroup(of: ([Int], [Answer]).self) { group in
            for (node, indices) in batches.values {
                group.addTask {
                    (indices, try await self.send(indices.map { commands[$0] }, to: node, until: deadline))
                }
            }
            for try await (indices, answers) in group {
                for (index, answer) in zip(indices, answers) {
                    switch answer {
                    case .success(let reply):
                        hasAnswer = true
                        replies[index] = reply
                    case .failure(let error):
                        // If all fail, an unknown outcome is what the caller has to know.
                        if failure == nil || error.code == .indeterminate { failure = error }
                        replies[index] = Self.reply(for: error)
                    }
                }
            }
        }
        if let failure, !hasAnswer { throw failure }
        return replies
    }

    /// The reply to one command, or the error for which there is none.
    private typealias Answer = Result<RedisValue, EventBusError>

    private static func reply(for error: EventBusError) -> RedisValue {
        let kind = error.code == .indeterminate ? RedisServerError.unknownOutcome : "CLUSTERDOWN"
        return .error("\(kind) a node of the cluster failed: \(error)")
    }

    /// Sends commands to a node, and those that it redirects to others.
    ///
    /// - Throws: `CancellationError`.
    private func send(
        _ commands: [RedisCommand],
        to node: RedisCluster.Node,
        until deadline: AnyClock.Instant
    ) async throws -> [Answer] {
        let replies: [RedisValue]
        do {
            let left = max(.milliseconds(1), AnyClock.continuous.now.duration(to: deadline))
            replies = try await connection(node).send(contentsOf: commands, timeout: left)
        } catch let error as EventBusError {
            note(error)
            return commands.map { _ in .failure(error) }
        }
        var answers = replies.map { Answer.success($0.notingMovingSlot) }
        try await withThrowingTaskGroup(of: (Int, Answer).self) { group in
            for index in replies.indices {
                guard let redirection = Redirection(replies[index], from: node.address.host) else { continue }
                if case .moved(let slot, let address) = redirection { cluster.noteMoved(slot, to: address) }
                let command = commands[index]
                group.addTask {
                    do {
                        return (index, .success(try await self.send(command, until: deadline, .whenLate)))
                    } catch let error as EventBusError {
                        return (index, .failure(error))
                    }
                }
            }
            for try await (index, answer) in group { answers[index] = answer }
        }
        return answers
    }

    // MARK: Without a task

    func send(
        _ command: RedisCommand,
        timeout: Duration,
        onReply: @escaping @Sendable (Result<RedisValue, any Error>) -> Void
    ) {
        do {
            send(command, to: try cluster.knownNode(for: command.slot), until: deadline(timeout), hops: 0, onReply)
        } catch {
            onReply(.failure(error))
        }
    }

    /// Sends a command, and again if the node names another one. A reply that asks for a pause is passed on.
    private func send(
        _ command: RedisCommand,
        to node: RedisCluster.Node,
        until deadline: AnyClock.Instant,
        hops: Int,
        _ onReply: @escaping @Sendable (Result<RedisValue, any Error>) -> Void
    ) {
        let left = max(.milliseconds(1), AnyClock.continuous.now.duration(to: deadline))
        connection(node).send(command, timeout: left) { result in
            let reply: RedisValue
            switch result {
            case .success(let success): reply = success
            case .failure(let error):
                self.note(error)
                return onReply(result)
            }
            guard let redirection = Redirection(reply, from: node.address.host), hops < Self.maximumHops else {
                return onReply(.success(reply.notingMovingSlot))
            }
            var command = command
            command.isAsking = false
            let next: NodeAddress
            switch redirection {
            case .moved(let slot, let address):
                self.cluster.noteMoved(slot, to: address)
                next = address
            case .ask(let address):
                command.isAsking = true
                next = address
            case .tryAgain, .down:
                self.cluster.ask()
                return onReply(.success(reply))
            }
            do {
                self.send(command, to: try self.cluster.node(at: next), until: deadline, hops: hops + 1, onReply)
            } catch {
                onReply(.failure(error))
            }
        }
    }

    func post(_ command: RedisCommand) {
        // Runs synchronously until the command is queued on the connection, so that it is sent in order.
        Task.immediate { _ = try? await self.send(command, timeout: nil, cancellation: .never) }
    }

    func servers() async throws -> [RedisConnection] {
        try await cluster.nodes(until: deadline(nil)).map(connection)
    }
}

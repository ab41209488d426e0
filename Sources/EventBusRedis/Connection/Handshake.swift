import DequeModule
import EventBus

/// The greeting of a server: the commands that precede all others, in order. It performs no I/O.
///
/// Everything that is specific to a connection is sent here, so that a new connection is set up in the same way.
struct Handshake {
    private enum Step {
        case login
        case select
        case setName
        case role(RoleQuestion)
        case identify
        case countShards
        case clientID
        case track
        case subscribe(String)
        case ping
    }

    private let configuration: RedisConfiguration
    private let credentials: RedisConfiguration.Credentials?
    /// A Boolean value indicating whether the login is that of the configuration's service, and not that of a Sentinel.
    private let usesProvider: Bool
    private let trackedPrefixes: [String]
    private var steps: Deque<Step>
    /// The step that was sent last.
    private var said: Step?
    private var clientID: Int64 = 0
    /// The random identity that the server chose for this run of its process, or `nil` if it does not tell.
    private(set) var runID: String?
    /// The question to which the server tells its role, or `nil` if it refuses to.
    private(set) var roleQuestion: RoleQuestion?
    /// The words with which the server refused to tell its role.
    private(set) var roleRefusal: String?
    /// The features that the server refuses and that the connection does without, each with the server's message.
    private(set) var refusals: [String] = []
    /// The last refusal that was tolerated. If the server closes the connection next, it is the reason.
    private(set) var toleratedRefusal: EventBusError?

    init(
        _ configuration: RedisConfiguration,
        _ credentials: RedisConfiguration.Credentials?,
        role: RedisConnection.Role
    ) {
        self.configuration = configuration
        self.credentials = credentials
        if case .sentinel = role { usesProvider = false } else { usesProvider = true }
        var steps: Deque<Step> = []
        if credentials != nil { steps.append(.login) }
        if case .sentinel = role {
            self.trackedPrefixes = []
            self.steps = steps + [.setName, .subscribe(Self.failoverChannel), .ping]
            return
        }
        if configuration.database != 0 { steps.append(.select) }
        // Role and identity come before subscriptions, because the old protocol accepts no such command afterwards.
        steps.append(.setName)
        // Replicas of a cluster know its slots and get its messages, too.
        if case .cluster = configuration.endpoint {} else { steps.append(.role(.role)) }
        steps.append(.identify)
        var prefixes: [String] = []
        if case .subscriber(let channels, let trackedPrefixes, _) = role {
            prefixes = trackedPrefixes
            if !prefixes.isEmpty {
                // Undocumented, but it has worked since 6.0: the connection redirects its own invalidations to itself.
                steps.append(contentsOf: [.clientID, .track, .subscribe(Self.invalidationChannel)])
            }
            steps.append(contentsOf: channels.map { .subscribe($0) })
        }
        steps.append(.ping)
        self.trackedPrefixes = prefixes
        self.steps = steps
    }

    /// The channel on which a Sentinel reports another primary.
    static let failoverChannel = "+switch-master"

    /// The channel on which a server reports changed keys to a connection of the old protocol.
    static let invalidationChannel = "__redis__:invalidate"

    /// Returns the next command, or `nil` when the greeting is complete.
    mutating func next() -> RedisCommand? {
        said = steps.popFirst()
        return said.map(command)
    }

    /// Handles the reply to the last command.
    mutating func receive(_ reply: RedisValue) throws(EventBusError) {
        switch said {
        case .none:
            return
        case .setName:
            // The user may lack the permission. The name is only for people.
            _ = try tolerating(reply)
        case .role(let question):
            guard let role = try tolerating(reply) else {
                // It takes no permission.
                if case .role = question { steps.prepend(.role(.hello)) }
                roleRefusal = roleRefusal ?? "the check for a replica: \(question.name) was refused: \(lastWords)"
                return
            }
            try question.requirePrimary(role)
            (roleQuestion, roleRefusal) = (question, nil)
        case .identify:
            let info = try tolerating(reply)?.text ?? ""
            runID = Self.value(of: "run_id", in: info)
            guard !configuration.isPartOfCluster else { return }
            // Valkey gives it another name.
            let mode = Self.value(of: "redis_mode", in: info) ?? Self.value(of: "server_mode", in: info)
            if mode == "cluster" { steps.prepend(.countShards) }
        case .countShards:
            let info = try tolerating(reply)?.text ?? ""
            let count = Self.value(of: "cluster_size", in: info).flatMap { Int($0) }
            if let count, count > 1 { throw .clusterNode(shards: count) }
        case .clientID:
            guard let id = try accepting(reply, "CLIENT ID") else { return }
            guard let id = id.integer else { throw unexpected("CLIENT ID") }
            clientID = id
        case .track:
            _ = try accepting(reply, "CLIENT TRACKING")
        case .subscribe(let channel):
            _ = try accepting(reply, "SUBSCRIBE \(channel)")
        case .ping:
            // A server that cannot save its data refuses even this. It still answers reads.
            if case .error(let message) = reply, RedisServerError(message).kind == "MISCONF" { return }
            guard Self.isPong(try answer(reply)) else { throw unexpected("PING") }
        case .login:
            guard try answer(reply) == .status("OK") else { throw unexpected("AUTH") }
        case .select:
            guard try answer(reply) == .status("OK") else { throw unexpected("SELECT") }
        }
    }

    /// Returns a Boolean value indicating whether a reply answers `PING`, on a connection with or without
    /// subscriptions.
    static func isPong(_ reply: RedisValue) -> Bool {
        reply == .status("PONG") || reply.array?.first?.text == "pong"
    }

    /// Returns a Boolean value indicating whether a reply to `PING` proves that the server serves this connection. An
    /// error proves it too, unless it refuses the whole connection. A server that is busy with a script will go on.
    static func provesLife(_ reply: RedisValue) -> Bool {
        guard case .error(let message) = reply else { return isPong(reply) }
        return RedisServerError(message).kind == "BUSY" || !isAboutConnection(message)
    }

    // MARK: Answers

    /// Returns the error for a refused greeting, with the server's message if it cannot reveal the login.
    func refusal(_ message: String) -> EventBusError {
        let refusal =
            credentials == nil ? RedisServerError(message) : RedisServerError(withoutSecrets: message)
        if usesProvider, let passing = refusal.passingRefusal(configuration) { return passing }
        let error = refusal.asBusError
        guard error.code == .rejected else { return error }
        // Such as at the limit of clients, or in protected mode. A later attempt may succeed.
        return EventBusError(.unavailable, "Redis refused the connection: \(refusal.message)", underlying: refusal)
    }

    private func answer(_ reply: RedisValue) throws(EventBusError) -> RedisValue {
        if case .error(let message) = reply { throw refusal(message) }
        return reply
    }

    /// Returns the reply to an optional question, or `nil` if the server refused to answer.
    private mutating func tolerating(_ reply: RedisValue) throws(EventBusError) -> RedisValue? {
        guard case .error(let message) = reply else { return reply }
        let refusal = refusal(message)
        if Self.isAboutConnection(message) { throw refusal }
        toleratedRefusal = refusal
        return nil
    }

    /// Returns the reply to a request for an optional feature, or `nil` if it was refused.
    private mutating func accepting(_ reply: RedisValue, _ feature: String) throws(EventBusError) -> RedisValue? {
        guard case .error = reply else { return reply }
        guard let reply = try tolerating(reply) else {
            refusals.append("\(feature) was refused: \(lastWords)")
            return nil
        }
        return reply
    }

    /// The server's message of the last refusal.
    private var lastWords: String {
        (toleratedRefusal?.underlying as? RedisServerError)?.message ?? "no reason given"
    }

    /// Returns a Boolean value indicating whether an error refuses the whole connection, whichever command it answers.
    private static func isAboutConnection(_ message: String) -> Bool {
        let kinds: Set<String> = ["NOAUTH", "WRONGPASS", "DENIED", "LOADING", "MASTERDOWN", "BUSY"]
        return kinds.contains(RedisServerError(message).kind) || message.contains("max number of clients")
    }

    private func unexpected(_ command: String) -> EventBusError {
        EventBusError(.unavailable, "the peer is no Redis server: its answer to \(command) makes no sense")
    }

    /// Returns the value of a field in the reply to `INFO` or `CLUSTER INFO`.
    private static func value(of name: String, in info: String) -> String? {
        let line = info.split(whereSeparator: \.isNewline).first { $0.hasPrefix(name + ":") }
        return line.map { String($0.dropFirst(name.count + 1)) }.flatMap { $0.isEmpty ? nil : $0 }
    }

    // MARK: Commands

    private func command(for step: Step) -> RedisCommand {
        switch step {
        case .login:
            let words = [credentials?.user, credentials?.password].compactMap { $0 }
            return RedisCommand("AUTH", words.map { .text($0) })
        case .select: return RedisCommand("SELECT", [.integer(Int64(configuration.database))])
        case .setName: return RedisCommand("CLIENT", ["SETNAME", .text(configuration.clientName)])
        case .role(let question): return question.command
        case .identify: return RedisCommand("INFO", ["server"])
        case .countShards: return RedisCommand("CLUSTER", ["INFO"])
        case .clientID: return RedisCommand("CLIENT", ["ID"])
        case .track:
            let prefixes = trackedPrefixes.flatMap { ["PREFIX", .text($0)] as [RedisArgument] }
            return RedisCommand("CLIENT", ["TRACKING", "on", "REDIRECT", .integer(clientID), "BCAST"] + prefixes)
        case .subscribe(let channel): return RedisCommand("SUBSCRIBE", [.text(channel)])
        case .ping: return RedisCommand("PING")
        }
    }
}

extension EventBusError {
    /// The error for a server that is a replica.
    static var readOnlyReplica: EventBusError {
        EventBusError(.unavailable, "this Redis is a read-only replica; connect to the primary")
    }

    /// The error for a node of a cluster whose keys are distributed over several primaries.
    static func clusterNode(shards: Int) -> EventBusError {
        EventBusError(
            .unsupported,
            "this Redis is a node of a cluster of \(shards) shards; name its nodes as redis+cluster://HOST:PORT,HOST:PORT"
        )
    }
}

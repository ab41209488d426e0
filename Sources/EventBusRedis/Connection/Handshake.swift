import DequeModule
import EventBus

/// What is said to a server before anything else, in order: no I/O.
///
/// Everything that belongs to a connection rather than to the server is said here, so that a new connection has it too.
struct Handshake {
    private enum Step {
        case login
        case select
        case setName
        case role
        case identify
        case clientID
        case track
        case subscribe(String)
        case ping
    }

    private let configuration: RedisConfiguration
    private let trackedPrefixes: [String]
    private var steps: Deque<Step>
    /// What was said last.
    private var said: Step?
    private var clientID: Int64 = 0
    /// The random identity that the server has chosen for this run of its process; `nil` if it does not say.
    private(set) var runID: String?
    /// Whether the server tells its role.
    private(set) var canAskRole = false
    /// The features that the server refuses and that the connection does without, each with the server's words.
    private(set) var refusals: [String] = []
    /// The last refusal that was tolerated: the reason, should the server hang up next.
    private(set) var toleratedRefusal: EventBusError?

    init(_ configuration: RedisConfiguration, role: RedisConnection.Role) {
        self.configuration = configuration
        var steps: Deque<Step> = []
        if configuration.password != nil { steps.append(.login) }
        if configuration.database != 0 { steps.append(.select) }
        // Role and identity come before subscriptions, after which the old protocol takes no such command.
        steps.append(contentsOf: [.setName, .role, .identify])
        var prefixes: [String] = []
        if case .subscriber(let channels, let trackedPrefixes, _) = role {
            prefixes = trackedPrefixes
            if !prefixes.isEmpty {
                // Undocumented, and works since 6.0: a connection that redirects its own invalidations to itself.
                steps.append(contentsOf: [.clientID, .track, .subscribe(Self.invalidationChannel)])
            }
            steps.append(contentsOf: channels.map { .subscribe($0) })
        }
        steps.append(.ping)
        self.trackedPrefixes = prefixes
        self.steps = steps
    }

    /// Where a server sends the keys that were changed to a connection of the old protocol.
    static let invalidationChannel = "__redis__:invalidate"

    /// What to say next; `nil` when all has been said.
    mutating func next() -> RedisCommand? {
        said = steps.popFirst()
        return said.map(command)
    }

    /// Takes the answer to what was said last.
    mutating func receive(_ reply: RedisValue) throws(EventBusError) {
        switch said {
        case .none:
            return
        case .setName:
            // A user may lack the right to it; the name is for people only.
            _ = try tolerating(reply)
        case .role:
            guard let role = try tolerating(reply) else { return }
            try Self.requirePrimary(role)
            canAskRole = true
        case .identify:
            runID = try tolerating(reply)?.text.flatMap(Self.runID)
        case .clientID:
            guard let id = try accepting(reply, "CLIENT ID") else { return }
            guard let id = id.integer else { throw unexpected("CLIENT ID") }
            clientID = id
        case .track:
            _ = try accepting(reply, "CLIENT TRACKING")
        case .subscribe(let channel):
            _ = try accepting(reply, "SUBSCRIBE \(channel)")
        case .ping:
            guard Self.isPong(try answer(reply)) else { throw unexpected("PING") }
        case .login:
            guard try answer(reply) == .status("OK") else { throw unexpected("AUTH") }
        case .select:
            guard try answer(reply) == .status("OK") else { throw unexpected("SELECT") }
        }
    }

    /// Whether a reply is the one to `PING`, on a connection with or without subscriptions.
    static func isPong(_ reply: RedisValue) -> Bool {
        reply == .status("PONG") || reply.array?.first?.text == "pong"
    }

    static var askRole: RedisCommand { RedisCommand("ROLE") }

    /// Throws unless the answer to ``askRole`` is that of a primary.
    static func requirePrimary(_ role: RedisValue) throws(EventBusError) {
        switch role.array?.first?.text {
        case "master": return
        case "slave": throw .readOnlyReplica
        case "sentinel":
            throw EventBusError(.unavailable, "this is a Redis Sentinel, which stores nothing; connect to the primary")
        default:
            throw EventBusError(.unavailable, "the peer is no Redis server: its answer to ROLE makes no sense")
        }
    }

    // MARK: answers

    /// A refusal of the greeting, in the server's own words where these cannot show the login.
    func refusal(_ message: String) -> EventBusError {
        let refusal =
            configuration.password == nil ? RedisServerError(message) : RedisServerError(withoutSecrets: message)
        let error = refusal.asBusError
        guard error.code == .rejected else { return error }
        // Such as at the limit of clients, or in protected mode: it may be different for a later attempt.
        return EventBusError(.unavailable, "Redis refused the connection: \(refusal.message)", underlying: refusal)
    }

    private func answer(_ reply: RedisValue) throws(EventBusError) -> RedisValue {
        if case .error(let message) = reply { throw refusal(message) }
        return reply
    }

    /// The answer to a question that the server need not answer; `nil` if it refused to.
    private mutating func tolerating(_ reply: RedisValue) throws(EventBusError) -> RedisValue? {
        guard case .error(let message) = reply else { return reply }
        let refusal = refusal(message)
        if Self.isAboutConnection(message) { throw refusal }
        toleratedRefusal = refusal
        return nil
    }

    /// The answer to a request for a feature that the connection can do without; `nil` if it was refused.
    private mutating func accepting(_ reply: RedisValue, _ feature: String) throws(EventBusError) -> RedisValue? {
        guard case .error = reply else { return reply }
        guard let reply = try tolerating(reply) else {
            let words = (toleratedRefusal?.underlying as? RedisServerError)?.message ?? "no reason given"
            refusals.append("\(feature) was refused: \(words)")
            return nil
        }
        return reply
    }

    /// Whether an error refuses the connection as a whole, whichever command it answers.
    private static func isAboutConnection(_ message: String) -> Bool {
        let kinds: Set<String> = ["NOAUTH", "WRONGPASS", "DENIED", "LOADING", "MASTERDOWN", "BUSY"]
        return kinds.contains(RedisServerError(message).kind) || message.contains("max number of clients")
    }

    private func unexpected(_ command: String) -> EventBusError {
        EventBusError(.unavailable, "the peer is no Redis server: its answer to \(command) makes no sense")
    }

    /// The value of `run_id` in the answer to `INFO server`.
    private static func runID(_ info: String) -> String? {
        let name = "run_id:"
        let line = info.split(whereSeparator: \.isNewline).first { $0.hasPrefix(name) }
        return line.map { String($0.dropFirst(name.count)) }.flatMap { $0.isEmpty ? nil : $0 }
    }

    // MARK: commands

    private func command(for step: Step) -> RedisCommand {
        switch step {
        case .login:
            let password = RedisArgument.text(configuration.password ?? "")
            return RedisCommand("AUTH", configuration.username.map { [.text($0), password] } ?? [password])
        case .select: return RedisCommand("SELECT", [.integer(Int64(configuration.database))])
        case .setName: return RedisCommand("CLIENT", ["SETNAME", .text(configuration.clientName)])
        case .role: return Self.askRole
        case .identify: return RedisCommand("INFO", ["server"])
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
    /// The server became a replica, or has always been one.
    static var readOnlyReplica: EventBusError {
        EventBusError(.unavailable, "this Redis is a read-only replica; connect to the primary")
    }
}

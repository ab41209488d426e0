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

    init(_ configuration: RedisConfiguration, role: RedisConnection.Role) {
        self.configuration = configuration
        var steps: Deque<Step> = []
        if configuration.password != nil { steps.append(.login) }
        if configuration.database != 0 { steps.append(.select) }
        steps.append(.setName)
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
        case .none, .setName:
            // A user may lack the right to it; the name is for people only.
            return
        case .clientID:
            guard let id = try reply.orThrow().integer else { throw unexpected(reply, "CLIENT ID") }
            clientID = id
        case .ping:
            guard Self.isPong(try reply.orThrow()) else { throw unexpected(reply, "PING") }
        case .login, .select, .track, .subscribe:
            _ = try reply.orThrow()
        }
    }

    /// Whether a reply is the one to `PING`, on a connection with or without subscriptions.
    static func isPong(_ reply: RedisValue) -> Bool {
        reply == .status("PONG") || reply.array?.first?.text == "pong"
    }

    private func command(for step: Step) -> RedisCommand {
        switch step {
        case .login:
            let password = RedisArgument.text(configuration.password ?? "")
            return RedisCommand("AUTH", configuration.username.map { [.text($0), password] } ?? [password])
        case .select: return RedisCommand("SELECT", [.integer(Int64(configuration.database))])
        case .setName: return RedisCommand("CLIENT", ["SETNAME", .text(configuration.clientName)])
        case .clientID: return RedisCommand("CLIENT", ["ID"])
        case .track:
            let prefixes = trackedPrefixes.flatMap { ["PREFIX", .text($0)] as [RedisArgument] }
            return RedisCommand("CLIENT", ["TRACKING", "on", "REDIRECT", .integer(clientID), "BCAST"] + prefixes)
        case .subscribe(let channel): return RedisCommand("SUBSCRIBE", [.text(channel)])
        case .ping: return RedisCommand("PING")
        }
    }

    private func unexpected(_ reply: RedisValue, _ command: String) -> EventBusError {
        EventBusError(.unavailable, "the peer is no Redis server: its answer to \(command) makes no sense")
    }
}

import EventBus

/// A question to which a server tells whether it is a primary.
enum RoleQuestion {
    case role
    /// A greeting that changes nothing. It takes no permission, while `ROLE` is classed as dangerous. Proxies may know
    /// neither. A connection with subscriptions cannot send it.
    case hello

    var name: String {
        switch self {
        case .role: "ROLE"
        case .hello: "HELLO"
        }
    }

    var command: RedisCommand {
        switch self {
        case .role: RedisCommand(name)
        case .hello: RedisCommand(name, ["2"])
        }
    }

    /// Throws unless the reply is that of a primary.
    func requirePrimary(_ reply: RedisValue) throws(EventBusError) {
        switch role(in: reply) {
        case "master": return
        case "slave", "replica": throw .readOnlyReplica
        case "sentinel":
            throw EventBusError(.unavailable, "this is a Redis Sentinel, which stores nothing; connect to the primary")
        default:
            throw EventBusError(.unavailable, "the peer is no Redis server: its answer to \(name) makes no sense")
        }
    }

    private func role(in reply: RedisValue) -> String? {
        let words = reply.array ?? []
        switch self {
        case .role: return words.first?.text
        case .hello:
            // Names and values alternate.
            let name = stride(from: 0, to: words.count - 1, by: 2).first { words[$0].text == "role" }
            return name.flatMap { words[$0 + 1].text }
        }
    }
}

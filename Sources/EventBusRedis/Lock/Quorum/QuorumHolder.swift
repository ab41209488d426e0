import EventBus

/// The parts of a grant's owner: the server that keeps its turn, the round in which it was granted, and the turn's
/// token.
struct QuorumHolder {
    let queueServer: Int
    let round: Int
    let turnToken: String

    init(queueServer: Int, round: Int, turnToken: String) {
        self.queueServer = queueServer
        self.round = round
        self.turnToken = turnToken
    }

    init(_ grant: LockGrant, members: Int) throws(EventBusError) {
        let parts = grant.owner.split(separator: ":", maxSplits: 2)
        guard parts.count == 3, let queueServer = Int(parts[0]), let round = Int(parts[1]),
            (0..<members).contains(queueServer)
        else {
            throw EventBusError(.lockNotOwned, "the grant of '\(grant.resource)' is not one of a quorum lock")
        }
        self.init(queueServer: queueServer, round: round, turnToken: String(parts[2]))
    }

    var owner: String { "\(queueServer):\(round):\(turnToken)" }

    /// The token by which the servers know the holder. It belongs to one round, because a late message that undoes an
    /// earlier round must not undo this one.
    var token: String { "\(round):\(turnToken)" }

    /// Returns the turn as a grant of its queue.
    func turn(_ grant: LockGrant) -> LockGrant {
        LockGrant(
            resource: grant.resource,
            owner: turnToken,
            fencingToken: 0,
            ttl: grant.ttl,
            validUntil: grant.validUntil
        )
    }
}

/// The keys of one resource, which are the same on each server.
struct QuorumKeys {
    let holder: String
    let fence: String

    init(prefix: String, resource: String) {
        let base = "\(prefix):quorum:\(RedisKeys.tag(resource))"
        holder = base + ":l"
        fence = base + ":f"
    }

    var all: [String] { [holder, fence] }
}

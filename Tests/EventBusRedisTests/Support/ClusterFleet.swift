import EventBus
import Testing

@testable import EventBusRedis

/// A Redis Cluster of primaries, and of as many replicas if asked for.
final class ClusterFleet: Sendable {
    let servers: [RedisServer]
    /// A connection to each server that follows no redirections.
    let admins: [RedisClient]

    /// Starts primaries that share the slots.
    ///
    /// - Parameter hasReplicas: `true` to start a replica of each primary too. In ``servers``, they follow the primaries
    ///   in the same order.
    init(primaries count: Int = 3, hasReplicas: Bool = false) async throws {
        (servers, admins) = try await Self.start(hasReplicas ? count * 2 : count)
        let share = SlotMap.slotCount / count
        for (index, admin) in admins.enumerated() {
            _ = try await admin.send("CLUSTER", "SET-CONFIG-EPOCH", .integer(Int64(index + 1)))
            // All of the earlier ones, because they would take seconds to tell each other.
            for other in servers[..<index] {
                let port = RedisArgument.integer(Int64(other.port))
                _ = try await admin.send("CLUSTER", "MEET", "127.0.0.1", port, .integer(Int64(other.busPort)))
            }
            guard index < count else { continue }
            let end = index == count - 1 ? SlotMap.slotCount : (index + 1) * share
            let slots = (index * share..<end).map { RedisArgument.integer(Int64($0)) }
            _ = try await admin.send(RedisCommand("CLUSTER", ["ADDSLOTS"] + slots))
        }
        try await awaitAgreement(primaries: count)
        guard hasReplicas else { return }
        for index in 0..<count {
            let primary = try await id(of: index)
            try await eventually("the nodes should know each other") {
                let reply = try? await admins[count + index].send("CLUSTER", "REPLICATE", .text(primary))
                return reply == .status("OK")
            }
        }
        for index in 0..<count { try await awaitReplication(of: index) }
    }

    private static func start(_ count: Int) async throws -> ([RedisServer], [RedisClient]) {
        var servers: [RedisServer] = []
        for _ in 0..<count { servers.append(try await RedisServer(clusterNodeTimeout: 1000)) }
        return (servers, try servers.map { try $0.nodeClient() })
    }

    var configuration: RedisConfiguration { configuration(of: servers) }

    /// Returns a configuration that names some of the servers.
    func configuration(of servers: [RedisServer]) -> RedisConfiguration {
        var configuration = RedisConfiguration(
            endpoint: .cluster(hosts: servers.map { .init("127.0.0.1", port: $0.port) })
        )
        configuration.reconnect.maximum = .milliseconds(100)
        return configuration
    }

    func client(_ change: (inout RedisConfiguration) -> Void = { _ in }) throws -> RedisClient {
        var configuration = configuration
        change(&configuration)
        return try RedisClient(configuration, logger: .silent)
    }

    /// Waits until every server that answers knows `primaries` of them, and that all slots are served.
    func awaitAgreement(primaries: Int) async throws {
        try await eventually("the nodes should agree", within: .seconds(60)) {
            for admin in admins {
                guard let info = try? await admin.send("CLUSTER", "INFO").text else { continue }
                let lines = info.split(whereSeparator: \.isNewline)
                guard lines.contains("cluster_state:ok"), lines.contains("cluster_size:\(primaries)") else {
                    return false
                }
            }
            return true
        }
    }

    /// Waits until the replica of a primary has all that the primary has by now.
    func awaitReplication(of index: Int) async throws {
        func offset(_ server: RedisServer, _ field: String) throws -> Int? {
            let info = try reply(to: RedisCommand("INFO", ["replication"]), at: server.port).text ?? ""
            return info.split(whereSeparator: \.isNewline).first { $0.hasPrefix("\(field):") }
                .flatMap { Int($0.dropFirst(field.count + 1)) }
        }
        let wanted = try #require(try offset(servers[index], "master_repl_offset"))
        let replica = servers[index + servers.count / 2]
        try await eventually("the replica should follow") {
            try offset(replica, "slave_repl_offset") ?? -1 >= wanted
                && (try offset(servers[index], "connected_slaves") == 1)
        }
    }

    /// Returns the number of times that nodes answered with an error of a kind, such as `MOVED`.
    func count(of kind: String) throws -> Int {
        var count = 0
        for server in servers {
            let info = try reply(to: RedisCommand("INFO", ["errorstats"]), at: server.port).text ?? ""
            for line in info.split(whereSeparator: \.isNewline) where line.hasPrefix("errorstat_\(kind):count=") {
                count += Int(line.split(separator: "=")[1]) ?? 0
            }
        }
        return count
    }

    /// Returns the index of the primary that serves a slot.
    func owner(of slot: Int) async throws -> Int {
        for (index, admin) in admins.enumerated() {
            guard let reply = try? await admin.send("CLUSTER", "SLOTS") else { continue }
            let address = try #require(SlotMap(reply, askedAt: "127.0.0.1")?[slot])
            if address.port == servers[index].port { return index }
        }
        throw EventBusError(.unavailable, "nobody serves slot \(slot)")
    }

    // MARK: Moving slots by hand

    /// Moves a slot and its keys to the next primary.
    func move(_ slot: Int) async throws {
        let source = try await claimedOwner(of: slot)
        let target = (source + 1) % 3
        try await beginMove(of: slot, from: source, to: target)
        try await moveKeys(of: slot, from: source, to: target)
        try await endMove(of: slot, from: source, to: target)
    }

    /// Begins to move a slot. No key has moved yet.
    func beginMove(of slot: Int, from source: Int, to target: Int) async throws {
        try await set(slot, at: target, "IMPORTING", source)
        try await set(slot, at: source, "MIGRATING", target)
    }

    /// Moves the keys that a slot has by now, and those that are added meanwhile.
    func moveKeys(of slot: Int, from source: Int, to target: Int) async throws {
        let port = RedisArgument.integer(Int64(servers[target].port))
        while true {
            let reply = try await admins[source].send("CLUSTER", "GETKEYSINSLOT", .integer(Int64(slot)), 100)
            let keys = reply.array?.compactMap(\.text) ?? []
            if keys.isEmpty { return }
            let arguments: [RedisArgument] = ["127.0.0.1", port, "", 0, 5000, "KEYS"] + keys.map { .text($0) }
            _ = try await admins[source].send(RedisCommand("MIGRATE", arguments))
        }
    }

    /// Ends the move of a slot, whose keys have all moved.
    func endMove(of slot: Int, from source: Int, to target: Int) async throws {
        for index in [target, source] { try await set(slot, at: index, "NODE", target) }
    }

    /// Returns the index of the primary that serves a slot, and lets one serve it that no node claims any more.
    ///
    /// A message that a source sent before the end of a move, with a newer epoch, may make the target believe that the slot
    /// is still the source's. One of them has to claim it again with an epoch that is newer still, as
    /// `redis-cli --cluster fix` does.
    @discardableResult
    func claimedOwner(of slot: Int) async throws -> Int {
        let deadline = ContinuousClock.now + .seconds(20)
        while true {
            do {
                return try await owner(of: slot)
            } catch {
                guard ContinuousClock.now < deadline else { throw error }
                var counts: [Int64] = []
                for admin in admins.prefix(3) {
                    let reply = try? await admin.send("CLUSTER", "COUNTKEYSINSLOT", .integer(Int64(slot)))
                    counts.append(reply?.integer ?? 0)
                }
                let holder = counts.indices.max { counts[$0] < counts[$1] } ?? 0
                _ = try await admins[holder].send("CLUSTER", "BUMPEPOCH")
                for index in 0..<3 { try await set(slot, at: index, "NODE", holder) }
            }
        }
    }

    private func set(_ slot: Int, at index: Int, _ state: RedisArgument, _ other: Int) async throws {
        let id = RedisArgument.text(try await id(of: other))
        _ = try await admins[index].send("CLUSTER", "SETSLOT", .integer(Int64(slot)), state, id)
    }

    func id(of index: Int) async throws -> String {
        try #require(try await admins[index].send("CLUSTER", "MYID").text)
    }
}

import EventBus
import Glibc
import Testing

@testable import EventBusRedis

/// A Redis Cluster of primaries, and of as many replicas if asked for.
final class ClusterFleet: Sendable {
    let servers: [RedisServer]
    /// A connection to each server that follows no redirections.
    let admins: [RedisClient]

    /// Starts primaries that share the slots, without replicas and with few commands.
    init(primaries count: Int = 3) async throws {
        (servers, admins) = try await Self.start(count)
        let share = SlotMap.slotCount / count
        for (index, admin) in admins.enumerated() {
            let end = index == count - 1 ? SlotMap.slotCount : (index + 1) * share
            let slots = (index * share..<end).map { RedisArgument.integer(Int64($0)) }
            _ = try await admin.send(RedisCommand("CLUSTER", ["ADDSLOTS"] + slots))
            _ = try await admin.send("CLUSTER", "SET-CONFIG-EPOCH", .integer(Int64(index + 1)))
            guard index > 0 else { continue }
            let port = RedisArgument.integer(Int64(servers[0].port))
            _ = try await admin.send("CLUSTER", "MEET", "127.0.0.1", port, .integer(Int64(servers[0].busPort)))
        }
        try await awaitAgreement(primaries: count)
    }

    /// Starts three primaries and three replicas with `redis-cli --cluster create`.
    init(createdBy tool: ClusterTool) async throws {
        (servers, admins) = try await Self.start(6)
        try await tool.run(["create"] + servers.map { "127.0.0.1:\($0.port)" } + ["--cluster-replicas", "1"])
        try await awaitAgreement(primaries: 3)
        try await eventually("the replicas should follow") { try links() == 3 }
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
        configuration.maximumReconnectDelay = .milliseconds(100)
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

    /// Returns the number of replicas that have the data of their primaries.
    func links() throws -> Int {
        try servers.count { server in
            let info = try reply(to: RedisCommand("INFO", ["replication"]), at: server.port).text ?? ""
            return info.contains("role:slave") && info.contains("master_link_status:up")
        }
    }

    /// Returns the index of the primary that serves the slot of `key`.
    func owner(of key: String) async throws -> Int {
        for (index, admin) in admins.enumerated() {
            guard let reply = try? await admin.send("CLUSTER", "SLOTS") else { continue }
            let address = try #require(SlotMap(reply, askedAt: "127.0.0.1")?[HashSlot.of(key.utf8)])
            if address.port == servers[index].port { return index }
        }
        throw EventBusError(.unavailable, "nobody serves \(key)")
    }

    // MARK: Moving slots by hand

    /// Begins to move the slot of `key`. No key has moved yet.
    func beginMove(of key: String, from source: Int, to target: Int) async throws {
        let slot = RedisArgument.integer(Int64(HashSlot.of(key.utf8)))
        _ = try await admins[target].send("CLUSTER", "SETSLOT", slot, "IMPORTING", .text(id(of: source)))
        _ = try await admins[source].send("CLUSTER", "SETSLOT", slot, "MIGRATING", .text(id(of: target)))
    }

    /// Moves the keys that a slot has by now.
    func moveKeys(of key: String, from source: Int, to target: Int) async throws {
        let slot = RedisArgument.integer(Int64(HashSlot.of(key.utf8)))
        let keys = try await admins[source].send("CLUSTER", "GETKEYSINSLOT", slot, 1000).array ?? []
        for key in keys.compactMap(\.text) {
            _ = try await admins[source].send(
                "MIGRATE",
                "127.0.0.1",
                .integer(Int64(servers[target].port)),
                .text(key),
                0,
                5000
            )
        }
    }

    /// Ends the move of a slot, whose keys have all moved.
    func endMove(of key: String, from source: Int, to target: Int) async throws {
        let slot = RedisArgument.integer(Int64(HashSlot.of(key.utf8)))
        for index in [target, source] {
            _ = try await admins[index].send("CLUSTER", "SETSLOT", slot, "NODE", .text(id(of: target)))
        }
    }

    func id(of index: Int) async throws -> String {
        try #require(try await admins[index].send("CLUSTER", "MYID").text)
    }
}

/// The cluster commands of `redis-cli`.
struct ClusterTool {
    func run(_ arguments: [String]) async throws {
        var template = Array("/tmp/eventbus-cluster.XXXXXX".utf8CString)
        guard mkdtemp(&template) != nil else { throw EventBusError(.unavailable, "no temporary directory") }
        let directory = String(decoding: template.dropLast().map(UInt8.init(bitPattern:)), as: UTF8.self)
        let script = #"""
            f=$1; shift
            redis-cli --cluster "$@" --cluster-yes >"$f/output" 2>&1
            echo $? >"$f/new"; mv "$f/new" "$f/code"
            exec sleep 600
            """#
        let child = try ChildProcess(["sh", "-c", script, "sh", directory] + arguments)
        defer { child.end() }
        try await eventually("redis-cli should end", within: .seconds(120)) { access("\(directory)/code", F_OK) == 0 }
        guard Self.text("\(directory)/code") == "0\n" else {
            throw EventBusError(.unavailable, "redis-cli failed: \(Self.text("\(directory)/output").suffix(500))")
        }
    }

    private static func text(_ path: String) -> String {
        guard let file = fopen(path, "r") else { return "" }
        defer { fclose(file) }
        var buffer = [UInt8](repeating: 0, count: 1 << 20)
        let count = fread(&buffer, 1, buffer.count, file)
        return String(decoding: buffer[..<count], as: UTF8.self)
    }
}

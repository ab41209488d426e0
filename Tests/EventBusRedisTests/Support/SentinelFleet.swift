import EventBus
import Glibc
import Testing

@testable import EventBusRedis

/// A primary, a replica, and three Sentinels that monitor them as the service `orders`.
final class SentinelFleet: Sendable {
    let servers: [RedisServer]
    let ports: [Int]
    private let sentinels: [ChildProcess]

    init() async throws {
        let primary = try await RedisServer("--repl-diskless-sync-delay", "0")
        let replica = try await RedisServer("--replicaof", "127.0.0.1", "\(primary.port)")
        servers = [primary, replica]
        // A Sentinel that asks the primary too early does not ask again for ten seconds.
        try await eventually("the primary should know its replica", within: .seconds(60)) {
            let text = (try? reply(to: RedisCommand("INFO", ["replication"]), at: primary.port))?.text ?? ""
            return text.contains("connected_slaves:1") && text.contains("state=online")
        }
        var template = Array("/tmp/eventbus-sentinel.XXXXXX".utf8CString)
        guard mkdtemp(&template) != nil else { throw EventBusError(.unavailable, "no temporary directory") }
        let directory = String(decoding: template.dropLast().map(UInt8.init(bitPattern:)), as: UTF8.self)
        var (ports, sentinels): ([Int], [ChildProcess]) = ([], [])
        for _ in 0..<3 {
            let (port, sentinel) = try await Self.startSentinel(of: primary.port, in: directory)
            ports.append(port)
            sentinels.append(sentinel)
        }
        self.ports = ports
        self.sentinels = sentinels
        var replies: [String] = []
        let deadline = ContinuousClock.now.advanced(by: .seconds(60))
        repeat {
            guard ContinuousClock.now < deadline else {
                throw EventBusError(
                    .unavailable,
                    "the Sentinels should know each other and the replica, but say:\n\(replies.joined(separator: "\n"))"
                )
            }
            try await Task.sleep(for: .milliseconds(20))
            replies = ports.map { port in
                let words = (try? ask(port, "MASTER", "orders"))?.array?.map { $0.text ?? "" } ?? []
                func value(_ name: String) -> String {
                    words.firstIndex(of: name).map { words[$0 + 1] } ?? "no \(name)"
                }
                return "\(value("num-other-sentinels")) other Sentinels, \(value("num-slaves")) replicas"
            }
        } while !replies.allSatisfy { $0 == "2 other Sentinels, 1 replicas" }
    }

    /// Starts a Sentinel, on another port if it does not answer at the first one.
    private static func startSentinel(
        of primary: Int,
        in directory: String
    ) async throws -> (port: Int, process: ChildProcess) {
        var problem: any Error = EventBusError(.unavailable, "no Sentinel")
        for _ in 0..<3 {
            let port = try freePort()
            let file = "\(directory)/\(port).conf"
            let text = """
                bind 127.0.0.1
                port \(port)
                dir \(directory)
                logfile \(directory)/\(port).log
                sentinel monitor orders 127.0.0.1 \(primary) 2
                sentinel down-after-milliseconds orders 500
                sentinel failover-timeout orders 2000

                """
            guard let stream = fopen(file, "w") else { throw EventBusError(.unavailable, "no file \(file)") }
            fputs(text, stream)
            fclose(stream)
            let process = try ChildProcess(["redis-server", file, "--sentinel"])
            do {
                let name = try reply(to: RedisCommand("SENTINEL", ["MYID"]), at: port)
                if name.text != nil { return (port, process) }
                problem = EventBusError(.unavailable, "port \(port) belongs to another server")
            } catch {
                problem = error
            }
        }
        throw problem
    }

    var configuration: RedisConfiguration {
        var configuration = RedisConfiguration(
            endpoint: .sentinel(hosts: ports.map { .init("127.0.0.1", port: $0) }, service: "orders")
        )
        configuration.reconnect.maximum = .milliseconds(100)
        return configuration
    }

    func killSentinel(_ index: Int) {
        sentinels[index].signal(SIGKILL)
        sentinels[index].end()
    }

    /// Starts a failover without a failure.
    func failOver() async throws {
        try await eventually("the failover should start") {
            let reply = try ask(ports[0], "FAILOVER", "orders")
            return reply == .status("OK")
        }
    }

    /// Waits until one of the servers has the data of the other and follows it.
    func replicaFollows() async throws {
        // Asked directly, because Sentinels update what they know of replicas every ten seconds.
        try await eventually("the replica should follow", within: .seconds(60)) {
            servers.contains { server in
                let text = (try? reply(to: RedisCommand("INFO", ["replication"]), at: server.port))?.text ?? ""
                return text.contains("role:slave") && text.contains("master_link_status:up")
            }
        }
    }

    /// Asks a Sentinel.
    private func ask(_ port: Int, _ words: RedisArgument...) throws -> RedisValue {
        try reply(to: RedisCommand("SENTINEL", words), at: port)
    }
}

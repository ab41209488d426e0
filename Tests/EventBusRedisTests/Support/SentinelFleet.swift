import EventBus
import Glibc
import Testing

@testable import EventBusRedis

/// A primary, a replica, and three Sentinels that monitor them as the service `orders`.
final class SentinelFleet: Sendable {
    let servers: [RedisServer]
    private let ports: [Int]
    private let sentinels: [ChildProcess]

    init() async throws {
        let primary = try await RedisServer("--repl-diskless-sync-delay", "0")
        let replica = try await RedisServer("--replicaof", "127.0.0.1", "\(primary.port)")
        servers = [primary, replica]
        var template = Array("/tmp/eventbus-sentinel.XXXXXX".utf8CString)
        guard mkdtemp(&template) != nil else { throw EventBusError(.unavailable, "no temporary directory") }
        let directory = String(decoding: template.dropLast().map(UInt8.init(bitPattern:)), as: UTF8.self)
        var (ports, sentinels): ([Int], [ChildProcess]) = ([], [])
        for _ in 0..<3 {
            let port = try freePort()
            let file = "\(directory)/\(port).conf"
            let text = """
                bind 127.0.0.1
                port \(port)
                dir \(directory)
                logfile \(directory)/\(port).log
                sentinel monitor orders 127.0.0.1 \(primary.port) 2
                sentinel down-after-milliseconds orders 500
                sentinel failover-timeout orders 2000

                """
            guard let stream = fopen(file, "w") else { throw EventBusError(.unavailable, "no file \(file)") }
            fputs(text, stream)
            fclose(stream)
            sentinels.append(try ChildProcess(["redis-server", file, "--sentinel"]))
            ports.append(port)
        }
        self.ports = ports
        self.sentinels = sentinels
        for port in ports {
            try await eventually("the Sentinels should know each other and the replica") {
                let reply = try? ask(port, "MASTER", "orders")
                let words = reply?.array?.map { $0.text ?? "" } ?? []
                func value(_ name: String) -> String? {
                    words.firstIndex(of: name).map { words[$0 + 1] }
                }
                return value("num-other-sentinels") == "2" && value("num-slaves") == "1"
            }
        }
    }

    var configuration: RedisConfiguration {
        var configuration = RedisConfiguration(
            endpoint: .sentinel(hosts: ports.map { .init("127.0.0.1", port: $0) }, service: "orders")
        )
        configuration.reconnect.maximum = .milliseconds(100)
        return configuration
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

import EventBus
import Testing

@testable import EventBusRedis

extension RedisTests {
    /// Users without the permission for `ROLE`, which is classed as dangerous.
    @Suite(.timeLimit(.minutes(2)))
    struct RoleRefusalTests {
        private func server(isReplica: Bool = false, rights: String) async throws -> RedisServer {
            let server = try await RedisServer()
            let admin = try server.client()
            let rules = "SETUSER limited on >secret ~* &* +@all \(rights)".split(separator: " ").map(String.init)
            _ = try await admin.send(RedisCommand("ACL", rules.map { .text($0) }))
            if isReplica { try await demote(server) }
            return server
        }

        private func demote(_ server: RedisServer) async throws {
            _ = try await server.client().send(RedisCommand("REPLICAOF", ["127.0.0.1", "1"]))
        }

        /// Returns a client of a name with the addresses of `servers`, in this order.
        private func client(
            _ ports: [Int],
            heartbeat: Duration = .seconds(60),
            logger: LogRecorder = LogRecorder()
        ) throws -> RedisClient {
            var configuration = RedisConfiguration(endpoint: .tcp(host: "name", port: 1))
            configuration.credentials = .init(user: "limited", password: "secret")
            configuration.reconnect.maximum = .milliseconds(50)
            configuration.heartbeat = heartbeat
            return try RedisClient(configuration, logger: logger.logger) { _, _, _ throws(EventBusError) in
                var addresses: [SocketAddress] = []
                for port in ports {
                    addresses += try SocketAddress.resolve(host: "127.0.0.1", port: port, numericOnly: true)
                }
                return addresses
            }
        }

        /// Returns a peer that looks like a proxy of a replica, which answers neither question about its role.
        private func silentReplica() throws -> ScriptedServer {
            try ScriptedServer { command, _ in
                switch command.first {
                case "ROLE", "HELLO": Array("-ERR unknown command\r\n".utf8)
                case "SET", "EVALSHA", "EVAL": Array("-READONLY You can't write against a read only replica.\r\n".utf8)
                case "SUBSCRIBE": nil
                default: greetingReply(command)
                }
            }
        }

        @Test(arguments: ["-@dangerous", "-role", "nothing"])
        func `of the addresses of a name, writes reach the primary, of locks as well as of values`(
            rights: String
        ) async throws {
            let isTold = rights != "nothing"
            let replica = isTold ? try await server(isReplica: true, rights: rights) : nil
            let silent = isTold ? nil : try silentReplica()
            let primary = try await server(rights: isTold ? rights : "")
            for isLock in [true, false] {
                let client = try client([try #require(replica?.port ?? silent?.port), primary.port])
                try await eventually("the primary should take a write", within: .seconds(5)) {
                    do {
                        if isLock {
                            try await RedisLock(client).withLock("sku", wait: .zero) { _ in }
                        } else {
                            _ = try await client.send("SET", "key", "value")
                        }
                        return true
                    } catch let error as EventBusError {
                        #expect(error.code == .unavailable || error.code == .indeterminate, "\(error)")
                        return false
                    }
                }
                await client.close()
            }
        }

        @Test func `a server that became a replica is left by a client that only reads, and is not ready`()
            async throws
        {
            let old = try await server(rights: "-role")
            let new = try await server(rights: "-role")
            _ = try await new.client().send("SET", "key", "new")
            let client = try client([old.port, new.port], heartbeat: .milliseconds(200))
            _ = try await client.send("SET", "key", "old")
            let other = try old.client {
                $0.credentials = .init(user: "limited", password: "secret")
                $0.heartbeat = .seconds(60)
            }
            #expect(await other.health() == ComponentHealth(name: "redis", status: .ready))
            try await demote(old)
            #expect(await other.health().status == .notReady)
            try await eventually("the value should be that of the new primary") {
                (try? await client.send("GET", "key"))?.text == "new"
            }
        }

        @Test func `it is said once that nobody can tell whether the server is a replica`() async throws {
            let asked = Shared(0)
            let server = try ScriptedServer { command, connection in
                if command.first == "ROLE" { asked.change { $0 += 1 } }
                return command.first == "ROLE" ? Array("-NOPERM no\r\n".utf8) : greetingReply(command)
            }
            let log = LogRecorder()
            let client = try client([server.port], heartbeat: .milliseconds(300), logger: log)
            _ = try await client.ping()
            let health = await client.health()
            #expect(health.status == .ready)
            #expect(health.reason?.contains("ROLE was refused: NOPERM") == true, "\(health)")
            await client.connection.lose(EventBusError(.unavailable, "for the test"))
            let count = asked.value
            try await eventually("it should connect again") {
                _ = try? await client.commandChannel.send(RedisCommand("PING"), timeout: nil, cancellation: .never)
                return asked.value > count
            }
            // Each of the two connections tells it for itself.
            let lines = log.lines.filter { $0.contains("ROLE was refused") }
            #expect((1...2).contains(lines.count), "\(lines)")
        }
    }
}

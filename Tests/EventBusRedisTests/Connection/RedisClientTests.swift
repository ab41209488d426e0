import EventBus
import Glibc
import Testing

@testable import EventBusRedis

extension RedisTests {
    @Suite(.timeLimit(.minutes(2)))
    struct RedisClientTests {
        @Test func `commands of many tasks get each its own reply`() async throws {
            let client = try await SharedRedis.client()
            let prefix = "client-test-\(EventID())"
            try await withThrowingTaskGroup(of: Void.self) { group in
                for task in 0..<50 {
                    group.addTask {
                        for round in 0..<20 {
                            let value = "\(task) \(round)\r\n$%s"
                            let key = RedisArgument.text("\(prefix)-\(task)")
                            #expect(try await client.send(RedisCommand("SET", [key, .text(value)])) == .status("OK"))
                            #expect(try await client.send(RedisCommand("GET", [key])).text == value)
                        }
                        _ = try await client.send(RedisCommand("DEL", [.text("\(prefix)-\(task)")]))
                    }
                }
                try await group.waitForAll()
            }
        }

        @Test func `a user's own commands are sent, and those that would disturb others are not`() async throws {
            let client = try await SharedRedis.client()
            let key = RedisArgument.text("own-\(EventID())")
            #expect(try await client.send("SET", key, .bytes([0, 13, 10]), "PX", 60_000) == .status("OK"))
            #expect(try await client.send("get", key).bytes == [0, 13, 10])
            for name in ["SUBSCRIBE", "multi", "Blpop", "CLIENT", "SELECT"] {
                do {
                    _ = try await client.send(name, key)
                    Issue.record("\(name) was sent")
                } catch let error as EventBusError {
                    #expect(error.code == .unsupported)
                }
            }
            #expect(try await client.send("DEL", key).integer == 1)
        }

        @Test func `a host is found by its name, and each of its addresses is tried`() async throws {
            // The server listens on one of the addresses of this name only.
            let server = try await RedisServer()
            let client = try server.client { $0.endpoint = .tcp(host: "localhost", port: server.port) }
            try await client.ping()
        }

        @Test func `a unix socket serves as well`() async throws {
            let server = try await RedisServer()
            let client = try server.client { $0.endpoint = .unix(path: server.socketPath) }
            try await client.ping()
        }

        @Test func `values of every shape arrive as they were sent`() async throws {
            let client = try await SharedRedis.client()
            let script = RedisScript("return {1, 'a', {}, {'b', {false}}, redis.status_reply('FINE')}")
            let reply = try await client.run(script, keys: [], [], isIdempotent: true)
            #expect(
                reply
                    == .array([
                        .integer(1), .bulk([97]), .array([]), .array([.bulk([98]), .array([.null])]), .status("FINE"),
                    ])
            )
            let bytes = (0..<1_000_000).map { UInt8(truncatingIfNeeded: $0 &* 31) }
            #expect(try await client.send(RedisCommand("ECHO", [.bytes(bytes)])) == .bulk(bytes))
        }

        @Test func `a script that the server has forgotten is sent in full`() async throws {
            let server = try await RedisServer()
            let client = try server.client()
            let script = RedisScript("return ARGV[1]")
            for _ in 0..<2 {
                #expect(try await client.run(script, keys: [], ["x"], isIdempotent: true).text == "x")
                _ = try await client.send(RedisCommand("SCRIPT", ["FLUSH"]))
                let calls = (0..<3).map { (keys: [String](), arguments: [RedisArgument.integer($0)]) }
                #expect(try await client.run(script, each: calls).map(\.text) == ["0", "1", "2"])
                _ = try await client.send(RedisCommand("SCRIPT", ["FLUSH"]))
            }
        }

        @Test func `the digest of a script is the one that the server computes`() async throws {
            let client = try await SharedRedis.client()
            for length in [0, 1, 54, 55, 56, 63, 64, 65, 1000] {
                let script = RedisScript("return 1 --" + String(repeating: "x", count: length))
                let reply = try await client.send(RedisCommand("SCRIPT", ["LOAD", .text(script.source)]))
                #expect(reply.text == script.digest)
            }
        }

        @Test func `login, database and name are said on each new connection`() async throws {
            let server = try await RedisServer("--requirepass", "pass word")
            let client = try server.client {
                $0.password = "pass word"
                $0.database = 3
                $0.clientName = "some-service"
            }
            for _ in 0..<2 {
                let info = try await client.send(RedisCommand("CLIENT", ["INFO"])).text ?? ""
                #expect(info.contains("name=some-service "))
                #expect(info.contains("db=3 "))
                // The reply may be lost with the connection.
                _ = try? await client.send(RedisCommand("CLIENT", ["KILL", "SKIPME", "no", "TYPE", "normal"]))
                try await eventually("the client should connect again") { (try? await client.ping()) != nil }
            }
        }

        @Test func `a server that comes back is connected to again`() async throws {
            let server = try await RedisServer()
            let client = try server.client()
            try await client.ping()
            server.kill()
            try await eventually("a dead server should be noticed") {
                do {
                    try await client.ping()
                    return false
                } catch let error as EventBusError {
                    return error.code == .unavailable
                }
            }
            #expect(await client.health().status == .notReady)
            try await server.start()
            try await eventually("the client should connect again") { (try? await client.ping()) != nil }
            #expect(await client.health().status == .ready)
        }

        @Test func `a server that stopped answering is given up within two heartbeats`() async throws {
            let server = try await RedisServer()
            let client = try server.client {
                $0.heartbeat = .milliseconds(100)
                $0.connectTimeout = .milliseconds(200)
                $0.commandTimeout = .seconds(20)
            }
            try await client.ping()
            server.pause()
            let start = ContinuousClock.now
            do {
                try await client.ping()
                Issue.record("a stopped server answered")
            } catch let error as EventBusError {
                #expect(error.code == .indeterminate)
            }
            #expect(start.duration(to: .now) < .seconds(10))
            server.resume()
            try await eventually("the client should connect again") { (try? await client.ping()) != nil }
        }

        @Test func `a closed client refuses every call`() async throws {
            let client = try await SharedRedis.client()
            try await client.ping()
            await client.close()
            do {
                try await client.ping()
                Issue.record("a closed client answered")
            } catch let error as EventBusError {
                #expect(error.code == .shuttingDown)
            }
        }

        @Test func `a cancelled call ends, and the next one gets its own reply`() async throws {
            let server = try await RedisServer()
            let client = try server.client()
            try await client.ping()
            server.pause()
            let call = Task { try await client.send(RedisCommand("ECHO", ["first"])) }
            let next = Task { try await client.send(RedisCommand("ECHO", ["second"])) }
            call.cancel()
            await #expect(throws: CancellationError.self) { try await call.value }
            server.resume()
            #expect(try await next.value.text == "second")
        }

        @Test func `dropped clients leave no descriptor and no thread behind`() async throws {
            let server = try await RedisServer()
            func use() async throws { try await server.client().ping() }
            try await use()
            try await eventually("descriptors of dropped clients should be closed") { try await count(server) == 1 }
        }

        /// How many clients the server has.
        private func count(_ server: RedisServer) async throws -> Int {
            let raw = try RawConnection(waitingFor: server.port)
            raw.write("CLIENT LIST\r\n")
            return try raw.read().split(separator: "\n").filter { $0.contains("id=") }.count
        }
    }
}

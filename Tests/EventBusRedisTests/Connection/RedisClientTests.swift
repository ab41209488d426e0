import ConnectionThread
import EventBus
import Glibc
import Logging
import ServiceLifecycle
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

        @Test func `a host is found by its name`() async throws {
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
                #expect(try await client.values.run(script, each: calls).map(\.text) == ["0", "1", "2"])
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
                $0.credentials = .init(password: "pass word")
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

        @Test func `a server that stopped answering is given up within a heartbeat, and returned to`() async throws {
            let server = try await RedisServer()
            let client = try server.client {
                $0.heartbeat = .seconds(1)
                $0.connectTimeout = .milliseconds(200)
                // Only the heartbeat ends the call.
                $0.commandTimeout = .seconds(600)
            }
            try await client.ping()
            server.pause()
            do {
                try await client.ping()
                Issue.record("a stopped server answered")
            } catch let error as EventBusError {
                #expect(error.code == .indeterminate)
            }
            server.resume()
            try await eventually("the client should connect again") { (try? await client.ping()) != nil }
        }

        @Test func `an idle connection to a server that stopped is given up within two heartbeats`() async throws {
            let server = try await RedisServer()
            var configuration = server.configuration
            configuration.heartbeat = .seconds(2)
            let (began, heard, ended) = (Signal(), Signal(), Signal())
            let connection = RedisConnection(
                configuration,
                role: .subscriber(channels: ["news"], trackedPrefixes: []) { event in
                    switch event {
                    case .began: began.raise()
                    case .ended: if began.isRaised { ended.raise() }
                    case .message: heard.raise()
                    }
                },
                thread: try ConnectionThread(name: "redis-test"),
                logger: .silent
            )
            connection.open()
            try await began.wait()
            let admin = try server.client()
            _ = try await admin.send(RedisCommand("PUBLISH", ["news", "x"]))
            try await heard.wait()
            server.pause()
            try await ended.wait()
            await connection.close()
        }

        @Test func `a client that runs in a service group is closed when the group shuts down`() async throws {
            let client = try RedisClient(RedisConfiguration(endpoint: .tcp(host: "127.0.0.1", port: 1)))
            let group = ServiceGroup(services: [client], logger: Logger(label: "test"))
            let running = Task { try await group.run() }
            await group.triggerGracefulShutdown()
            try await running.value
            let error = await #expect(throws: EventBusError.self) { try await client.ping() }
            #expect(error?.code == .shuttingDown)
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

        /// Returns a proxy for a server, and a signal that `text` has passed it.
        private func proxy(to server: RedisServer, announcing text: String) throws -> (RedisProxy, arrived: Signal) {
            let arrived = Signal()
            let proxy = try RedisProxy(to: server.port) { direction, bytes in
                if direction == .request, String(decoding: bytes, as: UTF8.self).contains(text) { arrived.raise() }
            }
            return (proxy, arrived)
        }

        @Test func `a call that is cancelled after it was sent ends, and the next one gets its own reply`() async throws
        {
            let server = try await RedisServer()
            let (proxy, arrived) = try proxy(to: server, announcing: "first")
            let client = try proxy.client()
            try await client.ping()
            proxy.replies.close()
            let call = Task { try await client.send(RedisCommand("ECHO", ["first"])) }
            try await arrived.wait()
            call.cancel()
            await #expect(throws: CancellationError.self) { try await call.value }
            let next = Task.immediate { try await client.send(RedisCommand("ECHO", ["second"])) }
            proxy.replies.open()
            #expect(try await next.value.text == "second")
        }

        @Test func `commands sent in one go are given up together when their caller is cancelled`() async throws {
            let server = try await RedisServer()
            let (proxy, arrived) = try proxy(to: server, announcing: "three")
            let client = try proxy.client()
            try await client.ping()
            proxy.replies.close()
            let commands = ["one", "two", "three"].map { RedisCommand("ECHO", [.text($0)]) }
            let call = Task { try await client.send(contentsOf: commands) }
            try await arrived.wait()
            call.cancel()
            await #expect(throws: CancellationError.self) { try await call.value }
            let next = Task.immediate { try await client.send(contentsOf: commands) }
            proxy.replies.open()
            #expect(try await next.value.map(\.text) == ["one", "two", "three"])
        }

        @Test func `a server that takes its time is waited for, by one command and by several`() async throws {
            let server = try await RedisServer()
            let client = try server.client()
            try await client.ping()
            // It counts, because newer servers stop their clock while a script runs.
            let nap = "local sum = 0; for number = 1, 5000000 do sum = sum + number end; return ARGV[1]"
            let slow = RedisCommand("EVAL", [.text(nap), 0, "slow"])
            #expect(try await client.send(slow).text == "slow")
            let replies = try await client.send(contentsOf: [slow, RedisCommand("ECHO", ["quick"])])
            #expect(replies.map(\.text) == ["slow", "quick"])
        }

        @Test func `a cancelled call ends soon, sent or not`() async throws {
            let server = try await RedisServer()
            let proxy = try RedisProxy(to: server.port)
            func expectEnd(_ call: @escaping @Sendable () async throws -> Void) async throws {
                for _ in 0..<10 {
                    // Runs here until it waits.
                    let task = Task.immediate { try await call() }
                    task.cancel()
                    await #expect(throws: CancellationError.self) { try await task.value }
                }
            }
            // Only the cancellation ends a call.
            let client = try proxy.client {
                $0.heartbeat = .seconds(600)
                $0.commandTimeout = .seconds(600)
            }
            try await client.ping()
            proxy.replies.close()
            try await expectEnd { _ = try await client.send("ECHO", "x") }
            let script = RedisScript("return 1")
            try await expectEnd { _ = try await client.run(script, keys: [], [], isIdempotent: true) }
            // The greeting gets no reply, so that everything waits.
            let late = try proxy.client {
                $0.connectTimeout = .seconds(600)
                $0.commandTimeout = .seconds(600)
            }
            try await expectEnd { _ = try await late.send("ECHO", "x") }
        }

        @Test func `commands that waited in vain make room for others`() async throws {
            let server = try await RedisServer()
            let proxy = try RedisProxy(to: server.port)
            proxy.replies.close()
            let client = try proxy.client {
                $0.connectTimeout = .seconds(60)
                $0.commandTimeout = .milliseconds(50)
                $0.maximumQueued = 2
            }
            for _ in 0..<5 {
                let error = await #expect(throws: EventBusError.self) { _ = try await client.send("ECHO", "x") }
                #expect(error?.code == .unavailable)
            }
        }

        @Test func `who is cancelled already sends nothing`() async throws {
            let server = try await RedisServer()
            let client = try server.client()
            let call = Task {
                withUnsafeCurrentTask { $0?.cancel() }
                _ = try await client.send("INCR", "calls")
            }
            await #expect(throws: CancellationError.self) { try await call.value }
            #expect(try await client.send("GET", "calls") == .null)
        }

        @Test func `dropped clients leave no connection and no thread behind`() async throws {
            let server = try await RedisServer()
            let before = redisThreads()
            func use() async throws {
                let clients = try (0..<5).map { _ in try server.client() }
                for client in clients { try await client.ping() }
                #expect(redisThreads() == before + 5)
                #expect(try await count(server) == 11, "two of each client, and that of the question")
            }
            try await use()
            try await eventually("connections of dropped clients should be closed") { try await count(server) == 1 }
            try await eventually("threads of dropped clients should end") { redisThreads() == before }
        }

        /// Returns the number of clients of the server, including the asking one.
        private func count(_ server: RedisServer) async throws -> Int {
            let raw = try RawConnection(waitingFor: server.port)
            raw.write("CLIENT LIST\r\n")
            return try raw.read().split(separator: "\n").filter { $0.contains("id=") }.count
        }

        /// Returns the number of threads of this process that serve Redis clients.
        private func redisThreads() -> Int {
            threads(of: getpid()).filter { $0.name == "redis" }.count
        }
    }
}

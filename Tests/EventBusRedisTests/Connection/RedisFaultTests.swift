import EventBus
import Testing

@testable import EventBusRedis

extension RedisTests {
    @Suite(.timeLimit(.minutes(2)))
    struct RedisFaultTests {
        /// Throws unless `body` fails with this code and, if one is given, this kind of server error.
        private func expect(
            _ code: EventBusError.Code,
            _ kind: String? = nil,
            sourceLocation: SourceLocation = #_sourceLocation,
            from body: () async throws -> Void
        ) async {
            do {
                try await body()
                Issue.record("it should have failed with \(code)", sourceLocation: sourceLocation)
            } catch let error as EventBusError {
                #expect(error.code == code, "\(error)", sourceLocation: sourceLocation)
                if let kind {
                    #expect(
                        (error.underlying as? RedisServerError)?.kind == kind,
                        "\(error)",
                        sourceLocation: sourceLocation
                    )
                }
            } catch {
                Issue.record("it failed with \(error)", sourceLocation: sourceLocation)
            }
        }

        // MARK: the order of replies

        @Test func `a command that timed out never shifts the replies of those behind it`() async throws {
            let server = try await RedisServer()
            let client = try server.client { $0.commandTimeout = .milliseconds(100) }
            try await client.ping()
            server.pause()
            await expect(.indeterminate) { _ = try await client.send(RedisCommand("SET", ["key", "value"])) }
            server.resume()
            // While the reply of SET is pending, GET must not take it for its own.
            var replies: [RedisValue] = []
            try await eventually("the server should answer again") {
                replies =
                    (try? await client.send(contentsOf: [RedisCommand("GET", ["key"]), RedisCommand("ECHO", ["x"])]))
                    ?? []
                return !replies.isEmpty
            }
            #expect(replies.map(\.text) == ["value", "x"])
        }

        @Test func `replies that arrive byte by byte are matched as well`() async throws {
            let server = try ScriptedServer { command, connection in
                guard command.first == "ECHO" else { return greetingReply(command) }
                for byte in "$\(command[1].utf8.count)\r\n\(command[1])\r\n".utf8 { connection.write([byte]) }
                return []
            }
            let client = try server.client()
            let commands = (0..<50).map { RedisCommand("ECHO", [.text("number \($0)")]) }
            let replies = try await client.send(contentsOf: commands)
            #expect(replies.map(\.text) == (0..<50).map { "number \($0)" })
        }

        @Test func `a connection that is cut at any byte of a reply fails that command alone, and is replaced`()
            async throws
        {
            let reply = Array("*2\r\n$3\r\nabc\r\n:7\r\n".utf8)
            let server = try ScriptedServer { command, connection in
                guard command.first == "CUT", let cut = Int(command[1]) else { return greetingReply(command) }
                connection.write(Array(reply[..<cut]))
                return cut < reply.count ? nil : []
            }
            let client = try server.client()
            for cut in 0..<reply.count {
                await expect(.indeterminate) {
                    _ = try await client.send(RedisCommand("CUT", [.integer(Int64(cut))]))
                }
                try await eventually("the client should connect again") { (try? await client.ping()) != nil }
            }
            let whole = try await client.send(RedisCommand("CUT", [.integer(Int64(reply.count))]))
            #expect(whole == .array([.bulk(Array("abc".utf8)), .integer(7)]))
        }

        // MARK: bad peers

        @Test func `a peer that talks something else is refused at the greeting`() async throws {
            let server = try ScriptedServer { _, _ in Array("HTTP/1.1 400 Bad Request\r\n\r\n".utf8) }
            let client = try server.client()
            await expect(.unavailable) { try await client.ping() }
        }

        @Test func `garbage in the middle ends the connection, not the process`() async throws {
            let server = try ScriptedServer { command, _ in
                command.first == "GET" ? Array("\u{1}\u{2}garbage\r\n".utf8) : greetingReply(command)
            }
            let client = try server.client()
            await expect(.indeterminate) { _ = try await client.send(RedisCommand("GET", ["x"])) }
            try await eventually("the client should connect again") { (try? await client.ping()) != nil }
        }

        @Test func `a reply that nobody asked for ends the connection`() async throws {
            let server = try ScriptedServer { command, _ in
                command.first == "GET" ? Array("$1\r\na\r\n$1\r\nb\r\n".utf8) : greetingReply(command)
            }
            let client = try server.client()
            #expect(try await client.send(RedisCommand("GET", ["x"])).text == "a")
            try await eventually("the next reply should be its own") {
                (try? await client.ping()) != nil
            }
            #expect(try await client.send(RedisCommand("GET", ["x"])).text == "a")
        }

        @Test func `a reply over the limit fails its command`() async throws {
            let server = try await RedisServer()
            let client = try server.client { $0.maximumReplySize = 100_000 }
            let large = [UInt8](repeating: 1, count: 200_000)
            #expect(try await client.send(RedisCommand("SET", ["large", .bytes(large)])) == .status("OK"))
            await expect(.indeterminate) { _ = try await client.send(RedisCommand("GET", ["large"])) }
            try await eventually("the client should connect again") { (try? await client.ping()) != nil }
        }

        @Test func `a heartbeat that is answered with something else than PONG ends the connection`() async throws {
            let greetings = Locked(0)
            let pings = Locked(0)
            let server = try ScriptedServer { command, _ in
                if command.first == "CLIENT" { greetings.withLock { $0 += 1 } }
                if command.first == "ROLE" { return Array("-ERR unknown command\r\n".utf8) }
                guard command.first == "PING" else { return greetingReply(command) }
                let count = pings.withLock { count in
                    count += 1
                    return count
                }
                // The first is the greeting's.
                return Array((count == 2 ? "+OK\r\n" : "+PONG\r\n").utf8)
            }
            let client = try server.client { $0.heartbeat = .milliseconds(40) }
            _ = try? await client.send(RedisCommand("SELECT", ["0"]))
            try await eventually("there should be a second connection") { greetings.withLock { $0 } >= 2 }
        }

        @Test func `a heartbeat that is answered with the word that a script runs ends no connection`() async throws {
            let (greetings, pings) = (Shared(0), Shared(0))
            let server = try ScriptedServer { command, _ in
                if command.first == "CLIENT" { greetings.change { $0 += 1 } }
                if command.first == "ROLE" { return Array("-ERR unknown command\r\n".utf8) }
                guard command.first == "PING" else { return greetingReply(command) }
                pings.change { $0 += 1 }
                let busy = "-BUSY Redis is busy running a script. You can only call SCRIPT KILL.\r\n"
                // The first is the greeting's.
                return Array((pings.value == 1 ? "+PONG\r\n" : busy).utf8)
            }
            let client = try server.client { $0.heartbeat = .milliseconds(40) }
            _ = try? await client.send(RedisCommand("SELECT", ["0"]))
            try await eventually("there should be several heartbeats") { pings.value >= 5 }
            #expect(greetings.value == 1)
        }

        @Test func `a peer that accepts and says nothing is given up in time`() async throws {
            let listenerPort = try freePort()
            let listener = try #require(try RawListener(port: listenerPort))
            var configuration = RedisConfiguration(endpoint: .tcp(host: "127.0.0.1", port: listenerPort))
            configuration.connectTimeout = .milliseconds(100)
            configuration.commandTimeout = .seconds(600)
            let client = try RedisClient(configuration, logger: .silent)
            await expect(.unavailable) { try await client.ping() }
            listener.close()
        }

        @Test func `nothing listens: calls fail at once, and go on failing`() async throws {
            let configuration = RedisConfiguration(endpoint: .tcp(host: "127.0.0.1", port: try freePort()))
            let client = try RedisClient(configuration, logger: .silent)
            for _ in 0..<20 { await expect(.unavailable) { try await client.ping() } }
        }

        @Test func `a host without an address is named in the error`() async throws {
            var configuration = RedisConfiguration(endpoint: .tcp(host: "no-such-host.invalid", port: 1))
            configuration.connectTimeout = .seconds(10)
            configuration.commandTimeout = .seconds(10)
            let client = try RedisClient(configuration, logger: .silent)
            await expect(.unavailable) { try await client.ping() }
        }

        // MARK: errors of the server

        @Test func `a missing or wrong login is a typed error`() async throws {
            let server = try await RedisServer("--requirepass", "right")
            let without = try server.client()
            await expect(.authenticationFailed, "NOAUTH") { try await without.ping() }
            let wrong = try server.client { $0.credentials = .init(password: "wrong") }
            await expect(.authenticationFailed, "WRONGPASS") { try await wrong.ping() }
        }

        @Test func `a lacking permission is a typed error`() async throws {
            let server = try await RedisServer()
            let admin = try server.client()
            _ = try await admin.send(RedisCommand("ACL", ["SETUSER", "limited", "on", ">secret", "+ping", "+client"]))
            let client = try server.client {
                $0.credentials = .init(user: "limited", password: "secret")
            }
            try await client.ping()
            await expect(.accessRefused, "NOPERM") { _ = try await client.send(RedisCommand("GET", ["x"])) }
        }

        @Test func `a read-only replica is a typed error`() async throws {
            let server = try await RedisServer()
            let client = try server.client()
            _ = try await client.send(RedisCommand("REPLICAOF", ["127.0.0.1", "1"]))
            await expect(.unavailable, "READONLY") { _ = try await client.send(RedisCommand("SET", ["x", "y"])) }
        }

        @Test func `a server without memory is a typed error`() async throws {
            let server = try await RedisServer("--maxmemory", "1")
            let client = try server.client()
            await expect(.unavailable, "OOM") { _ = try await client.send(RedisCommand("SET", ["x", "y"])) }
        }

        @Test func `a server that loads its data is a typed error, and used once it is ready`() async throws {
            let isLoading = Locked(true)
            let server = try ScriptedServer { command, _ in
                isLoading.withLock { $0 } && command.first == "PING"
                    ? Array("-LOADING Redis is loading the dataset in memory\r\n".utf8) : greetingReply(command)
            }
            let client = try server.client()
            await expect(.unavailable, "LOADING") { try await client.ping() }
            isLoading.withLock { $0 = false }
            try await eventually("it should be used once it is ready") { (try? await client.ping()) != nil }
        }

        // MARK: limits

        /// Returns a server that answers all received commands together, and records the maximum number of pending
        /// replies.
        private func measuringServer(_ most: Shared<(count: Int, bytes: Int)>) throws -> ScriptedServer {
            try ScriptedServer(batches: { commands, connection in
                let echoes = commands.filter { $0.first == "ECHO" }
                most.change { most in
                    most.count = max(most.count, echoes.count)
                    most.bytes = max(most.bytes, echoes.reduce(0) { $0 + $1[1].utf8.count })
                }
                for command in commands {
                    let text = command.count > 1 ? command[1] : ""
                    connection.write(greetingReply(command) ?? Array("$\(text.utf8.count)\r\n\(text)\r\n".utf8))
                }
                return true
            })
        }

        @Test func `more commands than may be in flight wait their turn`() async throws {
            let most = Shared((count: 0, bytes: 0))
            let server = try measuringServer(most)
            let client = try server.client { $0.maximumInFlight = 3 }
            let commands = (0..<500).map { RedisCommand("ECHO", [.integer($0)]) }
            #expect(try await client.send(contentsOf: commands).map(\.text) == (0..<500).map { "\($0)" })
            #expect((1...3).contains(most.value.count), "\(most.value.count) were in flight")
        }

        @Test func `more bytes than may be in flight wait their turn`() async throws {
            let most = Shared((count: 0, bytes: 0))
            let server = try measuringServer(most)
            let client = try server.client { $0.maximumInFlightBytes = 3000 }
            let texts = (0..<100).map { String(repeating: "x", count: 1000) + "\($0)" }
            let commands = texts.map { RedisCommand("ECHO", [.text($0)]) }
            #expect(try await client.send(contentsOf: commands).map(\.text) == texts)
            // The one that reaches the limit is the last one.
            #expect((1000...4100).contains(most.value.bytes), "\(most.value.bytes) bytes were in flight")
        }

        @Test(arguments: [true, false])
        func `more commands than may wait are refused, by number and by bytes, and none is lost`(
            byNumber: Bool
        ) async throws {
            let answers = Valve(isOpen: false)
            let arrived = Shared(0)
            let server = try ScriptedServer { command, _ in
                guard command.first == "ECHO" else { return greetingReply(command) }
                arrived.change { $0 += 1 }
                answers.pass()
                return Array("$\(command[1].utf8.count)\r\n\(command[1])\r\n".utf8)
            }
            let texts = (0..<50).map { String(repeating: "x", count: 1000) + "\($0)" }
            let client = try server.client {
                $0.maximumInFlight = 1
                $0.commandTimeout = .seconds(20)
                if byNumber { $0.maximumQueued = 5 } else { $0.maximumQueuedBytes = 5500 }
            }
            func call(_ text: String) -> Task<String?, any Error> {
                Task.immediate { try await client.send(RedisCommand("ECHO", [.text(text)])).text }
            }
            var calls = [call(texts[0])]
            try await eventually("the first should be in flight") { arrived.value == 1 }
            calls += texts.dropFirst().map { call($0) }
            answers.open()
            var (answered, refused) = (0, 0)
            for (text, call) in zip(texts, calls) {
                do {
                    #expect(try await call.value == text)
                    answered += 1
                } catch let error as EventBusError where error.code == .blocked {
                    refused += 1
                }
            }
            #expect(answered == 6, "one in flight, and five that may wait")
            #expect(refused == 44)
        }

        /// A server that cuts the connection at the first call of a script and refuses all others, and the digests of the
        /// called scripts.
        private func cutting() throws -> (server: ScriptedServer, called: Shared<[String]>) {
            let called = Shared<[String]>([])
            let server = try ScriptedServer { command, _ in
                guard command.first == "EVALSHA" else { return greetingReply(command) }
                called.change { $0.append(command[1]) }
                return called.value.count == 1 ? nil : Array("-NOPERM no permission\r\n".utf8)
            }
            return (server, called)
        }

        @Test func `a claim whose outcome is unknown is withdrawn, also if the repetition is refused`() async throws {
            let (server, called) = try cutting()
            let key = InboxKey(topic: "test.placed", eventID: EventID(), subscription: "orders")
            let error = await #expect(throws: EventBusError.self) {
                _ = try await RedisInbox(try server.client()).begin(key, lease: .seconds(30))
            }
            #expect(error?.code == .indeterminate)
            #expect("\(try #require(error))".contains("NOPERM"))
            try await eventually("it should be withdrawn") { called.value.contains(InboxScripts.withdraw.digest) }
        }

        @Test func `a grant whose outcome is unknown is given back, also if the repetition is refused`() async throws {
            let (server, called) = try cutting()
            let error = await #expect(throws: EventBusError.self) {
                _ = try await RedisLock(try server.client()).acquire("sku", ttl: .seconds(60), wait: .zero)
            }
            #expect(error?.code == .indeterminate)
            try await eventually("it should be given back") { called.value.contains(LockScripts.leave.digest) }
        }
    }
}

import EventBus
import Testing

@testable import EventBusRedis

extension RedisTests {
    @Suite(.timeLimit(.minutes(2)))
    struct GreetingTests {
        /// A command of the greeting, and the server's reply to it.
        struct Answer: Sendable, CustomTestStringConvertible {
            let command: String
            let reply: String
            var testDescription: String { "\(command): \(reply.debugDescription)" }
        }

        private static let secret = "canary-91c5"

        private static let answers: [Answer] = {
            let commands = [
                "AUTH", "SELECT", "CLIENT SETNAME", "ROLE", "HELLO", "INFO", "CLIENT ID", "CLIENT TRACKING",
                "SUBSCRIBE", "PING",
            ]
            let replies = [
                "-ERR unknown command 'AUTH', with args beginning with: '\(secret)' \r\n", "-\(secret)\r\n",
                "-\(secret.uppercased()) \(secret)\r\n", "-WRONGPASS \(secret)\r\n", "-NOPERM \(secret)\r\n",
                "-LOADING \(secret)\r\n", "+\(secret)\r\n", "$\(secret.utf8.count)\r\n\(secret)\r\n",
                "*1\r\n$\(secret.utf8.count)\r\n\(secret)\r\n", "*1\r\n-\(secret)\r\n", ":7\r\n", "$-1\r\n",
                "HTTP/1.1 400 \(secret)\r\n\r\n",
            ]
            return commands.flatMap { command in replies.map { Answer(command: command, reply: $0) } }
        }()

        @Test(arguments: answers)
        func `no answer of a server brings the password into an error, the health report or the log`(
            answer: Answer
        ) async throws {
            let told = Shared(0)
            let server = try ScriptedServer { command, _ in
                // Otherwise the second question about the role is not asked.
                if command.first == "ROLE", answer.command == "HELLO" { return Array("-NOPERM no\r\n".utf8) }
                guard command.prefix(2).joined(separator: " ").hasPrefix(answer.command) else {
                    return command.first == "SUBSCRIBE"
                        ? Array("*3\r\n$9\r\nsubscribe\r\n$1\r\nx\r\n:1\r\n".utf8)
                        : command == ["CLIENT", "ID"] ? Array(":7\r\n".utf8) : greetingReply(command)
                }
                told.change { $0 += 1 }
                return Array(answer.reply.utf8)
            }
            var configuration = server.configuration
            configuration.credentials = .init(user: "someone", password: Self.secret)
            configuration.database = 3
            configuration.commandTimeout = .milliseconds(500)
            let log = LogRecorder()
            let client = try RedisClient(configuration, logger: log.logger)
            var shown: [String] = ["\(configuration)"]
            let subscriber = client.subscriber(channels: ["x"], trackedPrefixes: ["y"]) { _ in }
            subscriber.open()
            do { try await client.ping() } catch { shown.append("\(error) \(String(reflecting: error))") }
            try await eventually("the server should be asked") { told.value > 0 }
            do { try await client.ping() } catch { shown.append("\(error) \(String(reflecting: error))") }
            shown.append("\(await client.health())")
            await client.close()
            for text in shown + log.lines {
                #expect(!text.lowercased().contains(Self.secret), "\(text)")
            }
        }

        @Test func `a server that takes no more clients is quoted, with and without a password, and tried again`()
            async throws
        {
            let server = try await RedisServer("--maxclients", "3")
            let others = try (0..<3).map { _ in try RawConnection(waitingFor: server.port) }
            for other in others {
                other.write("PING\r\n")
                _ = try other.read()
            }
            for password in [nil, "secret"] {
                let client = try server.client { $0.credentials = password.map { .init(password: $0) } }
                let error = await #expect(throws: EventBusError.self) { try await client.ping() }
                #expect(error?.code == .unavailable)
                #expect("\(try #require(error))".contains("max number of clients reached"))
                #expect(await client.health().reason?.contains("max number of clients reached") == true)
                await client.close()
            }
            let client = try server.client()
            await #expect(throws: EventBusError.self) { try await client.ping() }
            for other in others { other.hangUp() }
            try await eventually("the client should be let in") { (try? await client.ping()) != nil }
        }

        @Test(arguments: [
            "DENIED Redis is running in protected mode because protected mode is enabled and no password is set.",
            "ERR the proxy has no backend", "ERR max number of clients reached",
        ])
        func `what a server says before it hangs up is the error, whether or not it was asked anything`(
            words: String
        ) async throws {
            let server = try ScriptedServer { _, connection in
                connection.write(Array("-\(words)\r\n".utf8))
                return nil
            }
            let port = try freePort()
            let listener = try #require(try RawListener(port: port))
            onThread {
                while let connection = try? listener.accept() {
                    connection.write(Array("-\(words)\r\n".utf8))
                    connection.hangUp()
                }
            }
            for port in [server.port, port] {
                var configuration = server.configuration
                configuration.endpoint = .tcp(host: "127.0.0.1", port: port)
                let client = try RedisClient(configuration, logger: .silent)
                let error = await #expect(throws: EventBusError.self) { try await client.ping() }
                #expect(error?.code == .unavailable)
                #expect("\(try #require(error))".contains(words))
                #expect((error?.underlying as? RedisServerError)?.message == words)
                await client.close()
            }
            listener.close()
        }
    }
}

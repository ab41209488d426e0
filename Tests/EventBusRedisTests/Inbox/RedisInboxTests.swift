import EventBus
import Glibc
import Testing

@testable import EventBusRedis

extension RedisTests {
    @Suite(.timeLimit(.minutes(2)))
    struct RedisInboxTests {
        @Test func `a claim that is sent twice is one claim`() async throws {
            let client = try await SharedRedis.client()
            let key = ["inbox-twice-\(EventID())"]
            let arguments: [RedisArgument] = [60_000, "request-1"]
            let first = try await client.run(InboxScripts.begin, keys: key, arguments, isIdempotent: true)
            let again = try await client.run(InboxScripts.begin, keys: key, arguments, isIdempotent: true)
            #expect(first.array?.first?.text == "new")
            #expect(again == first)
            let other = try await client.run(InboxScripts.begin, keys: key, [60_000, "request-2"], isIdempotent: true)
            #expect(other.array?.first?.text == "inProgress")
        }

        @Test func `a record that is no record is replaced`() async throws {
            let client = try await SharedRedis.client()
            let key = "inbox-odd-\(EventID())"
            _ = try await client.send(RedisCommand("SET", [.text(key), "nonsense"]))
            let reply = try await client.run(InboxScripts.begin, keys: [key], [60_000, "x"], isIdempotent: true)
            #expect(reply.array?.first?.text == "new")
            _ = try await client.send(RedisCommand("DEL", [.text(key)]))
        }

        @Test func `under duplicate delivery and kill -9 the only second effects are those without a record`()
            async throws
        {
            let server = try await RedisServer()
            let port = server.port
            let client = try server.client()
            // Each is killed at some moment, and another takes its place: it is delivered what was not acknowledged.
            var deaths = 0
            for round in 0..<6 {
                let isLast = round == 5
                await #expect(processExitsWith: isLast ? .success : .signal(SIGKILL)) {
                    [port = port as Int, isLast = isLast as Bool] in
                    if !isLast {
                        onThread {
                            usleep(UInt32.random(in: 20_000..<80_000))
                            kill(getpid(), SIGKILL)
                        }
                    }
                    repeat { try await Self.consume(port) } while !isLast
                }
                if !isLast { deaths += 1 }
            }
            let effects = try await client.send(RedisCommand("HGETALL", ["effects"])).array?.compactMap(\.text) ?? []
            let counts = stride(from: 1, to: effects.count, by: 2).compactMap { Int(effects[$0]) }
            #expect(counts.count == 200)
            let seconds = counts.reduce(0) { $0 + $1 - 1 }
            // A process that is killed between effect and record costs one second effect, for each lane at most.
            #expect(seconds <= deaths * 4, "\(seconds) second effects after \(deaths) deaths")
        }

        /// Handles each of 200 events, which are delivered to four lanes twice each.
        private static func consume(_ port: Int) async throws {
            let client = try RedisClient(
                RedisConfiguration(endpoint: .tcp(host: "127.0.0.1", port: port)),
                logger: .silent
            )
            let inbox = RedisInbox(client)
            try await withThrowingTaskGroup(of: Void.self) { group in
                for lane in 0..<4 {
                    group.addTask {
                        for number in 0..<400 where number % 4 == lane {
                            let id = EventID("event-\(number / 2)")
                            while true {
                                switch try await inbox.begin(
                                    id,
                                    subscription: "test.effects",
                                    lease: .milliseconds(300)
                                ) {
                                case .completed: break
                                case .inProgress(let retryAfter):
                                    try await Task.sleep(for: min(retryAfter, .milliseconds(50)))
                                    continue
                                case .new(let claim):
                                    _ = try await client.send(
                                        RedisCommand("HINCRBY", ["effects", .text(id.rawValue), "1"])
                                    )
                                    try await inbox.complete(claim, retention: .seconds(600))
                                }
                                break
                            }
                        }
                    }
                }
                try await group.waitForAll()
            }
        }
    }
}

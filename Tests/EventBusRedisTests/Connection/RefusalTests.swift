import EventBus
import Testing

@testable import EventBusRedis

extension RedisTests {
    @Suite(.timeLimit(.minutes(2)))
    struct RefusalTests {
        @Test(arguments: [
            "~* resetchannels +@all", "~* &* +@all -client|tracking", "~* &* +@all -subscribe",
            "~* resetchannels &eventbus:* +@all",
        ])
        func `a server that refuses tracking or subscriptions is used without them, and it is said once`(
            rights: String
        ) async throws {
            let server = try await RedisServer()
            let admin = try server.client()
            let rules = ["on", ">secret"] + rights.split(separator: " ").map(String.init)
            _ = try await admin.send(RedisCommand("ACL", ["SETUSER", "limited"] + rules.map { .text($0) }))
            var configuration = server.configuration
            configuration.credentials = .init(user: "limited", password: "secret")
            configuration.heartbeat = .milliseconds(50)
            let log = LogRecorder()
            let client = try RedisClient(configuration, logger: log.logger)
            let cache = RedisCache(client)
            let lock = RedisLock(client)
            let options = CacheOptions()

            try await cache.set("value", for: "key")
            try await eventually("health should tell what is missing") {
                await client.health().reason?.contains("refused") == true
            }
            let before = try await connectionsReceived(admin)
            #expect(await client.health().status == .ready)

            // Nothing is served from memory, because changes would not be reported.
            for number in 0..<100 {
                try await cache.set("\(number)", for: "key")
                #expect(try await cache.value(for: "key", as: String.self) { "computed" } == "\(number)")
                #expect(cache.cachedValue(for: "key", as: String.self, options: options) == nil)
            }
            // Waiters of the lock are served by polling.
            let order = Shared(0)
            try await withThrowingTaskGroup(of: Void.self) { group in
                for _ in 0..<3 {
                    group.addTask {
                        try await lock.withLock("sku", wait: .seconds(30)) { _ in order.change { $0 += 1 } }
                    }
                }
                try await group.waitForAll()
            }
            #expect(order.value == 3)
            // The lock's connection for messages is the only additional one.
            #expect(try await connectionsReceived(admin) - before <= 1)
            let refusals = log.lines.filter { $0.contains("refuses a feature") }
            #expect((1...4).contains(refusals.count), "\(refusals)")
            #expect(Set(refusals).count == refusals.count, "\(refusals)")
        }

        @Test func `health tells why messages have no connection, and remains ready`() async throws {
            let server = try ScriptedServer { command, _ in
                command.first == "SUBSCRIBE" ? nil : greetingReply(command)
            }
            let client = try server.client()
            let lock = RedisLock(client)
            lock.subscriber.open()
            try await eventually("health should tell it") {
                await client.health().reason?.contains("messages: ") == true
            }
            #expect(await client.health().status == .ready)
        }

        private func connectionsReceived(_ admin: RedisClient) async throws -> Int {
            let info = try await admin.send(RedisCommand("INFO", ["stats"])).text ?? ""
            let name = "total_connections_received:"
            let line = info.split(whereSeparator: \.isNewline).first { $0.hasPrefix(name) }
            return try #require(line.flatMap { Int($0.dropFirst(name.count)) })
        }
    }
}

import EventBus
import Testing

@testable import EventBusRedis

extension RedisTests {
    /// Removals in another process, of which no message arrives.
    @Suite(.timeLimit(.minutes(2)))
    struct MissedRemovalTests {
        enum Removal: CaseIterable {
            case key, tag, replacement
        }

        private let options = CacheOptions(ttl: .seconds(60), tags: ["shelf"])

        /// Asks `cache` for a value whose computation began before a removal, and returns the value of a caller that asks
        /// after the removal.
        private func valueAfter(_ removal: Removal, in other: RedisCache, asking cache: RedisCache) async throws
            -> String
        {
            let (begun, answered) = (Signal(), Signal())
            let first = Task {
                try await cache.value(for: "key", as: String.self, options: options) {
                    begun.raise()
                    // Ends in any case, so that a caller that joins gets its value.
                    let limit = AnyClock.continuous.now.advanced(by: .seconds(5))
                    _ = try? await withDeadline(limit, clock: .continuous) { try await answered.wait() }
                    return "old"
                }
            }
            try await begun.wait()
            switch removal {
            case .key: try await other.remove("key")
            case .tag: try await other.removeAll(tag: "shelf")
            case .replacement: try await other.set("new", for: "key", options: options)
            }
            let value = Task { try await cache.value(for: "key", as: String.self, options: options) { "new" } }
            if removal == .tag {
                // The lease is in the way until the first computation ends.
                answered.raise()
            }
            let result = try await value.value
            answered.raise()
            #expect(try await first.value == "old")
            #expect(try await cache.value(for: "key", as: String.self, options: options) { "third" } == "new")
            return result
        }

        @Test(arguments: Removal.allCases)
        func `a computation that began before a removal is not joined after it, without messages`(
            removal: Removal
        ) async throws {
            let server = try await RedisServer()
            let admin = try server.client()
            let rules: [RedisArgument] = ["SETUSER", "limited", "on", ">secret", "~*", "&*", "+@all", "-subscribe"]
            _ = try await admin.send(RedisCommand("ACL", rules))
            let client = try server.client { $0.credentials = .init(user: "limited", password: "secret") }
            let cache = RedisCache(client)
            #expect(try await valueAfter(removal, in: RedisCache(admin), asking: cache) == "new")
        }

        @Test(arguments: Removal.allCases)
        func `a computation that began before a removal is not joined after it, if its message is lost`(
            removal: Removal
        ) async throws {
            let server = try await RedisServer()
            let relay = try MessageRelay(to: server.port)
            let cache = RedisCache(try server.client { $0.endpoint = .tcp(host: "127.0.0.1", port: relay.port) })
            let other = RedisCache(try server.client())
            try await eventually("messages should arrive") {
                _ = try await cache.value(for: "other", as: Int.self, options: CacheOptions(ttl: .milliseconds(20))) {
                    1
                }
                return cache.level.withTable { $0.isCoherent }
            }
            relay.swallow(true)
            #expect(try await valueAfter(removal, in: other, asking: cache) == "new")
        }

        @Test(arguments: [true, false])
        func `a computation that asks for its own key is refused at once, also after an interruption`(
            isFull: Bool
        ) async throws {
            let server = try await RedisServer()
            let admin = try server.client()
            let cache = RedisCache(try server.client())
            let options = CacheOptions(ttl: .seconds(60))
            if isFull { _ = try await admin.send(RedisCommand("CONFIG", ["SET", "maxmemory", "1"])) }
            let error = await #expect(throws: EventBusError.self) {
                try await cache.value(for: "key", as: Int.self, options: options) {
                    // Messages may have begun since the computation has.
                    try await eventually("messages should arrive") { cache.level.withTable { $0.isCoherent } }
                    return try await cache.value(for: "key", as: Int.self, options: options) { 1 }
                }
            }
            #expect(error?.code == .reentrant)
        }

        @Test func `a computation without a lease is not joined after its messages were interrupted`() async throws {
            let server = try await RedisServer()
            let admin = try server.client()
            let cache = RedisCache(try server.client())
            try await eventually("messages should arrive") {
                _ = try await cache.value(for: "other", as: Int.self, options: CacheOptions(ttl: .milliseconds(20))) {
                    1
                }
                return cache.level.withTable { $0.isCoherent }
            }
            // The server is full, so nobody gets a lease.
            _ = try await admin.send(RedisCommand("CONFIG", ["SET", "maxmemory", "1"]))
            let (begun, answered, computed) = (Signal(), Signal(), Shared(0))
            @Sendable func ask() async throws -> Int {
                try await cache.value(for: "key", as: Int.self, options: CacheOptions(ttl: .seconds(60))) {
                    computed.change { $0 += 1 }
                    let number = computed.value
                    begun.raise()
                    if number == 1 { try await answered.wait() }
                    return number
                }
            }
            let first = Task { try await ask() }
            try await begun.wait()
            func messageClients() async throws -> String {
                try await admin.send(RedisCommand("CLIENT", ["LIST", "TYPE", "pubsub"])).text ?? ""
            }
            let id = try #require(try await messageClients().split(separator: " ").first)
            _ = try await admin.send(RedisCommand("CLIENT", ["KILL", "TYPE", "pubsub"]))
            try await eventually("messages should arrive again") {
                let clients = try await messageClients()
                return !clients.isEmpty && !clients.hasPrefix(id + " ") && cache.level.withTable { $0.isCoherent }
            }
            let second = Task { try await ask() }
            try await eventually("the second caller should compute", within: .seconds(5)) { computed.value == 2 }
            answered.raise()
            #expect(try await first.value == 1)
            #expect(try await second.value == 2)
        }
    }
}

import EventBus
import Testing

@testable import EventBusRedis

extension RedisTests {
    /// Servers of a quorum lock that answer, and refuse.
    @Suite(.timeLimit(.minutes(2)))
    struct QuorumRefusalTests {
        enum Refusal: CaseIterable {
            case memory, permission
        }

        /// Makes a server refuse to grant locks.
        private func refuse(_ refusal: Refusal, _ admin: RedisClient) async throws {
            switch refusal {
            case .memory: _ = try await admin.send(RedisCommand("CONFIG", ["SET", "maxmemory", "1"]))
            case .permission: _ = try await admin.send(RedisCommand("ACL", ["SETUSER", "limited", "-set"]))
            }
        }

        private func fleet() async throws -> (admins: [RedisClient], lock: RedisQuorumLock, servers: [RedisServer]) {
            var servers: [RedisServer] = []
            for _ in 0..<3 { servers.append(try await RedisServer("--maxmemory-policy", "noeviction")) }
            let admins = try servers.map { try $0.client() }
            for admin in admins {
                let rules: [RedisArgument] = ["SETUSER", "limited", "on", ">secret", "~*", "&*", "+@all"]
                _ = try await admin.send(RedisCommand("ACL", rules))
            }
            let clients = try servers.map { server in
                try server.client { $0.credentials = .init(user: "limited", password: "secret") }
            }
            return (admins, RedisQuorumLock(clients), servers)
        }

        /// The first server keeps the queue, so it matters whether it refuses too.
        @Test(arguments: Refusal.allCases, [[1, 2], [0, 1], [0, 1, 2]])
        func `a majority that refuses is reported at once, with the words of a server`(
            refusal: Refusal,
            refusing: [Int]
        ) async throws {
            let fleet = try await fleet()
            try await fleet.lock.withLock("sku", wait: .seconds(5)) { _ in }
            for server in refusing { try await refuse(refusal, fleet.admins[server]) }
            for wait in [Duration.zero, .seconds(600)] {
                let error = await #expect(throws: EventBusError.self) {
                    try await fleet.lock.withLock("sku", wait: wait) { _ in }
                }
                switch refusal {
                case .memory: #expect(error?.isOutOfMemory == true, "\(String(describing: error))")
                case .permission: #expect(error?.code == .accessRefused, "\(String(describing: error))")
                }
            }
            if refusal == .permission {
                let error = await #expect(throws: EventBusError.self) {
                    try await fleet.lock.lead("scheduler") { _ in }
                }
                #expect(error?.code == .accessRefused)
            }
        }

        @Test func `a minority that refuses prevents nothing, and the wait is used if others may come back`()
            async throws
        {
            let fleet = try await fleet()
            // The user does not outlive a restart.
            let lock = RedisQuorumLock(try fleet.servers.map { try $0.client() })
            try await refuse(.memory, fleet.admins[1])
            try await lock.withLock("sku", wait: .seconds(5)) { _ in }
            fleet.servers[2].kill()
            let waiting = Task { try await lock.acquire("sku", ttl: .seconds(60), wait: .seconds(60)) }
            let short = await #expect(throws: EventBusError.self) {
                _ = try await lock.acquire("other", ttl: .seconds(60), wait: .milliseconds(200))
            }
            #expect(short?.code == .unavailable)
            #expect(short?.underlying != nil)
            try await fleet.servers[2].start()
            try await lock.release(waiting.value)
        }
    }
}

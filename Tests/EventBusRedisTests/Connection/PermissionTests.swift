import EventBus
import EventBusTesting
import Testing

@testable import EventBusRedis

extension RedisTests {
    @Suite(.timeLimit(.minutes(2)))
    struct PermissionTests {
        /// The rules from the guide.
        private let rules = """
            on >secret ~eventbus:* resetchannels &eventbus:* &__redis__:invalidate +ping +client +select +role +info \
            +eval +evalsha +subscribe +publish +time +get +set +del +pttl +pexpire +zadd +zrem +zrange +zrangebyscore \
            +zcard +zcount +zscore +hget +hset +hdel +hmget +sadd +srem +scan +hrandfield +cluster|info +cluster|slots +asking
            """

        private func addUser(_ admin: RedisClient) async throws {
            let arguments = rules.split(separator: " ").map { RedisArgument.text(String($0)) }
            _ = try await admin.send(RedisCommand("ACL", ["SETUSER", "limited"] + arguments))
        }

        @Test func `a user with the permissions of the guide can do everything`() async throws {
            let server = try await RedisServer()
            let admin = try server.client()
            try await addUser(admin)
            let make = { @Sendable () throws -> RedisClient in
                try server.client {
                    $0.credentials = .init(user: "limited", password: "secret")
                }
            }
            let checks =
                LockConformance(ttl: .milliseconds(600)) { RedisLock(try make()) }.checks
                + CacheConformance { RedisCache(try make()) }.checks
                + InboxConformance { RedisInbox(try make()) }.checks
                + SharedLockConformance(ttl: .milliseconds(600)) { RedisSharedLock(try make()) }.checks
                + RateLimiterConformance { RedisRateLimiter(try make()) }.checks
            for check in checks {
                do {
                    try await check.run()
                } catch {
                    Issue.record("\(check.name): \(error)")
                }
            }
            try await expectNothingRefused(admin)
        }

        /// Checks that no command was refused, not even one whose refusal was taken for an outage.
        private func expectNothingRefused(_ admin: RedisClient) async throws {
            let log = try await admin.send(RedisCommand("ACL", ["LOG"])).array ?? []
            #expect(log.isEmpty, "\(log)")
        }

        @Test func `a user with the permissions of the guide can use a cluster, also while slots are moved`()
            async throws
        {
            let fleet = try await ClusterFleet()
            for admin in fleet.admins { try await addUser(admin) }
            let client = try fleet.client { $0.credentials = .init(user: "limited", password: "secret") }
            let (lock, cache) = (RedisLock(client), RedisCache(client))
            let slot = HashSlot.of(LockKeys(prefix: "eventbus", resource: "sku").holder.utf8)
            let grant = try await lock.acquire("sku", ttl: .seconds(600), wait: .zero)
            #expect(try await lock.holders().map(\.resource) == ["sku"])
            let source = try await fleet.owner(of: slot)
            let target = (source + 1) % 3
            try await fleet.beginMove(of: slot, from: source, to: target)
            try await fleet.moveKeys(of: slot, from: source, to: target)
            _ = try await lock.renew(grant)
            try await fleet.endMove(of: slot, from: source, to: target)
            try await lock.release(grant)
            for number in 0..<20 {
                try await cache.set(number, for: "key-\(number)")
                try await RedisSharedLock(client).withPermit("name-\(number)", limit: 2) { _ in }
                _ = try await RedisRateLimiter(client).request("name-\(number)", limit: RateLimit(1, per: .seconds(60)))
            }
            #expect(await client.health().status == .ready)
            for admin in fleet.admins { try await expectNothingRefused(admin) }
        }
    }
}

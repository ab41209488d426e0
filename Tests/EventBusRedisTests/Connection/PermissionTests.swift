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
            +zcard +zcount +zscore +hget +hset +hdel +hmget +sadd +srem +scan +cluster|info
            """

        @Test func `a user with the permissions of the guide can do everything`() async throws {
            let server = try await RedisServer()
            let admin = try server.client()
            let arguments = rules.split(separator: " ").map { RedisArgument.text(String($0)) }
            _ = try await admin.send(RedisCommand("ACL", ["SETUSER", "limited"] + arguments))
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
            // Refused commands are listed here, even if they were taken for an outage.
            let log = try await admin.send(RedisCommand("ACL", ["LOG"])).array ?? []
            #expect(log.isEmpty, "\(log)")
        }
    }
}

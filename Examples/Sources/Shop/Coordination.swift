import EventBus
import EventBusInMemory
import EventBusRedis
import Logging

/// The shop's lock, cache and inboxes.
struct Coordination: Sendable {
    let lock: any DistributedLock
    let cache: any Cache
    let inbox: any Inbox

    /// Returns coordination in this process.
    static func inMemory(clock: AnyClock) -> Coordination {
        Coordination(
            lock: InMemoryLock(clock: clock),
            cache: InMemoryCache(clock: clock),
            inbox: InMemoryInbox(clock: clock)
        )
    }

    /// Returns coordination on Redis, with keys of this run only, so that another run does not find the handled events
    /// of this one.
    static func redis(_ configuration: RedisConfiguration, logger: Logger) throws -> Coordination {
        let client = try RedisClient(configuration, logger: logger)
        let prefix = "shop-\(EventID())"
        return Coordination(
            lock: RedisLock(client, prefix: prefix),
            cache: RedisCache(client, options: RedisCacheOptions(prefix: prefix)),
            inbox: RedisInbox(client, prefix: prefix)
        )
    }
}

import EventBus
import EventBusInMemory
import EventBusRedis
import Logging

/// Where the shop's lock, cache and inboxes are kept.
struct Coordination: Sendable {
    let lock: any DistributedLock
    let cache: any Cache
    let inbox: any Inbox

    /// In this process.
    static func inMemory(clock: AnyClock) -> Coordination {
        Coordination(
            lock: InMemoryLock(clock: clock),
            cache: InMemoryCache(clock: clock),
            inbox: InMemoryInbox(clock: clock)
        )
    }

    /// On a Redis, under keys of this run's own: a second run is not to find what the first has handled.
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

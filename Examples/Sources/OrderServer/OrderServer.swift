import Configuration
import EventBus
import EventBusOutbox
import EventBusRedis
import Glibc
import OrderService
import ServiceKit

/// The order service: takes orders over HTTP, and confirms or cancels them as the inventory answers.
@main
struct OrderServer {
    static func main() async {
        exit(await ServiceDefinition.orders.main())
    }
}

extension ServiceDefinition {
    /// The order service.
    static let orders = ServiceDefinition(
        name: "orders",
        executable: "order-service",
        summary: "Takes orders over HTTP, and confirms or cancels them as the inventory answers.",
        defaultPort: 8080,
        settings: [
            Setting("cache.ttl", .double, default: "5", "seconds for which an order is kept in the cache"),
            Setting(
                "idempotency.retention",
                .int,
                default: "86400",
                "seconds for which an Idempotency-Key is remembered; after that it places a new order"
            ),
        ],
        needsBroker: false,
        migrations: OrderSchema.registerMigrations,
        assemble: assemble
    )

    private static func assemble(_ environment: ServiceEnvironment) async throws -> ServiceAssembly {
        let config = environment.config
        let store = SQLiteOrderStore(
            environment.database,
            bus: environment.bus,
            keyRetention: .seconds(config.int(forKey: "idempotency.retention", default: 86_400))
        )
        let orders = CachedOrderStore(
            store,
            cache: RedisCache(environment.redis, options: RedisCacheOptions(prefix: "shop.orders")),
            ttl: .seconds(config.double(forKey: "cache.ttl", default: 5)),
            logger: environment.logger
        )
        OrderService(bus: environment.bus, store: orders).subscribe(options: .stockOutcomes)
        let relay = OutboxRelay(database: environment.database, bus: environment.bus, logger: environment.logger)
        return ServiceAssembly(
            services: [relay],
            checks: [
                // Neither keeps orders from being taken: events wait in the outbox, and what is not cached is read.
                HealthCheck(isRequired: false) { [relay.health()] },
                HealthCheck(isRequired: false) { [redis = environment.redis] in [await redis.health()] },
            ],
            routes: OrderRoutes(orders).add
        )
    }
}

extension SubscriptionOptions {
    /// How the answers of the inventory are taken: an outage of the database for minutes ends no delivery.
    static let stockOutcomes = SubscriptionOptions(
        retry: RetryPolicy(maxAttempts: 100, initial: .milliseconds(200), maximum: .seconds(5))
    )
}

import Configuration
import EventBus
import EventBusOutbox
import EventBusRedis
import EventBusServiceKit
import Glibc
import OrderService
import ServiceStorage
import ShopServer

/// The order service: it accepts orders over HTTP, and confirms or cancels them as the inventory answers.
@main
struct OrderServer {
    static func main() async {
        exit(await ServiceDefinition.orders.main())
    }
}

extension ServiceDefinition {
    /// The order service.
    static let orders = ServiceDefinition.shop(
        name: "orders",
        executable: "order-service",
        summary: "Takes orders over HTTP, and confirms or cancels them as the inventory answers.",
        defaultPort: 8080,
        settings: [
            Setting(
                "prices.file",
                .string,
                default: nil,
                "a file with the sku and the unitPrice of one product as JSON a line, at which orders are taken"
            ),
            Setting(
                "prices.fromClients",
                .bool,
                default: "false",
                "whether clients choose prices and discounts, as a till with a catalog of its own does"
            ),
            Setting("cache.ttl", .double, default: "5", "seconds for which an order is kept in the cache"),
            Setting(
                "idempotency.retention",
                .int,
                default: "86400",
                "seconds for which an Idempotency-Key is remembered; after that it places a new order"
            ),
            Setting(
                "commit.groupLimit",
                .int,
                default: "128",
                "how many writes to SQLite that come at the same time share a commit; 1 for a commit each"
            ),
        ],
        needsBus: false,
        migrations: OrderSchema.registerMigrations,
        postgresMigrations: OrderSchema.postgres,
        assemble: assemble
    )

    private static func assemble(_ environment: ShopEnvironment) async throws -> ServiceAssembly {
        let config = environment.config
        let ttl = config.double(forKey: "cache.ttl", default: 5)
        let retention = config.int(forKey: "idempotency.retention", default: 86_400)
        let groupLimit = config.int(forKey: "commit.groupLimit", default: 128)
        try check("cache.ttl", ttl, within: 0.001...3600)
        try check("idempotency.retention", retention, within: 1...1_000_000_000)
        try check("commit.groupLimit", groupLimit, within: 1...10_000)
        let pricing = try pricing(config)
        let store = SQLOrderStore(
            environment.database,
            bus: environment.bus,
            groupLimit: groupLimit,
            keyRetention: .seconds(retention)
        )
        let orders = CachedOrderStore(
            store,
            cache: RedisCache(environment.redis, options: RedisCacheOptions(prefix: "shop.orders")),
            ttl: .seconds(ttl),
            logger: environment.logger
        )
        OrderService(bus: environment.bus, store: orders).subscribe(options: .outlastingOutages)
        let relay = try environment.database.relay(to: environment.bus, logger: environment.logger)
        return ServiceAssembly(
            bus: environment.bus,
            services: [relay],
            checks: [
                // Orders are accepted without either of them: events wait in the outbox, and uncached orders are read
                // from the database.
                HealthCheck(isRequired: false) { [relay.health()] },
                HealthCheck(isRequired: false) { [redis = environment.redis] in [await redis.health()] },
            ],
            routes: OrderRoutes(orders, pricing: pricing).add
        )
    }

    private static func pricing(_ config: ConfigReader) throws -> Pricing {
        let file = config.string(forKey: "prices.file")
        guard config.bool(forKey: "prices.fromClients", default: false) != (file != nil) else {
            throw ServiceFailure(
                "the prices of orders come from prices.file or from clients: set either prices.file or "
                    + "prices.fromClients"
            )
        }
        return try file.map { try Pricing(file: $0) } ?? .clients
    }

    private static func check<Value: Comparable>(
        _ key: String,
        _ value: Value,
        within range: ClosedRange<Value>
    ) throws(ServiceFailure) {
        if range.contains(value) { return }
        throw ServiceFailure("\(key) is \(value); it can be \(range.lowerBound) to \(range.upperBound)")
    }
}

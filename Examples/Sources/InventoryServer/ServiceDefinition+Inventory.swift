import Configuration
import EventBus
import EventBusOutbox
import EventBusRedis
import EventBusServiceKit
import InventoryService
import ServiceStorage
import ShopServer

extension ServiceDefinition {
    /// The inventory service.
    static let inventory = ServiceDefinition.shop(
        name: "inventory",
        executable: "inventory-service",
        summary: "Puts aside what orders need: all of it, or nothing.",
        defaultPort: 8081,
        settings: [
            Setting(
                "stock.file",
                .string,
                default: nil,
                "a file with one product as JSON a line, loaded at the start if there is none in the database"
            )
        ],
        needsBus: true,
        migrations: StockSchema.registerMigrations,
        postgresMigrations: StockSchema.postgres,
        assemble: assembleInventory
    )

    private static func assembleInventory(_ environment: ShopEnvironment) async throws -> ServiceAssembly {
        let lock = RedisLock(environment.redis, prefix: "inventory")
        let cache = RedisCache(environment.redis, options: RedisCacheOptions(prefix: "inventory"))
        let store = SQLStockStore(database: environment.database, bus: environment.bus)
        if let file = environment.config.string(forKey: "stock.file") {
            try await OpeningStock.load(file, into: store, logger: environment.logger)
        }
        let catalog = StockCatalog(store: store, lock: lock, cache: cache, logger: environment.logger)
        var options = SubscriptionOptions.outlastingOutages
        options.handlerTimeout = .seconds(60)
        InventoryService(
            bus: environment.bus,
            store: CatalogedStockStore(store: store, catalog: catalog),
            lock: lock
        ).subscribe(options: options)

        var relaying = OutboxRelay.Configuration()
        // Only one of the replicas publishes. It is not notified of the commits of the others, and takes over quickly.
        relaying.pollInterval = .milliseconds(100)
        relaying.leaseDuration = .seconds(5)
        let relay = try environment.database.relay(
            to: environment.bus,
            configuration: relaying,
            logger: environment.logger
        )
        let redis = environment.redis
        return ServiceAssembly(
            bus: environment.bus,
            services: [relay],
            checks: [HealthCheck(isRequired: false) { [relay.health(), await redis.health()] }],
            routes: { router in StockRoutes(catalog: catalog).add(to: router) }
        )
    }
}

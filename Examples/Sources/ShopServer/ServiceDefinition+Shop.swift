import EventBus
import EventBusRabbit
import EventBusRedis
public import EventBusServiceKit
public import GRDB
import ServiceStorage

extension ServiceDefinition {
    /// Creates a server of the shop: a service with a bus on RabbitMQ, a connection to Redis, and a database.
    ///
    /// - Parameters:
    ///   - needsBus: `true` if the service is not ready without the bus. Pass `false` for a service whose events wait
    ///     in an outbox.
    ///   - migrations: A closure that registers its tables in SQLite.
    ///   - postgresMigrations: The scripts of its tables in PostgreSQL by name, oldest first.
    ///   - assemble: A closure that assembles its parts.
    public static func shop(
        name: String,
        executable: String,
        summary: String,
        defaultPort: Int,
        settings: [Setting] = [],
        needsBus: Bool,
        migrations: @escaping @Sendable (inout DatabaseMigrator) -> Void,
        postgresMigrations: KeyValuePairs<String, String> = [:],
        assemble: @escaping @Sendable (ShopEnvironment) async throws -> ServiceAssembly
    ) -> ServiceDefinition {
        ServiceDefinition(
            name: name,
            executable: executable,
            summary: summary,
            defaultPort: defaultPort,
            settings: settings + ShopOptions.settings(name: name, executable: executable)
        ) { environment in
            let options = try ShopOptions(environment)
            let database = try await options.openDatabase(
                migrations: migrations,
                postgresMigrations: postgresMigrations,
                logger: environment.logger
            )
            let redis: RedisClient
            do {
                redis = try RedisClient(options.redis, logger: environment.logger)
            } catch {
                await database.close()
                throw error
            }
            let close = { @Sendable in
                await redis.close()
                await database.close()
            }
            do {
                let bus = try EventBus(
                    transport: .rabbit(options.rabbit, logger: environment.logger),
                    configuration: environment.busConfiguration,
                    logger: environment.logger
                )
                let writeTopology = { @Sendable in
                    guard let file = options.topologyFile else { return }
                    try RabbitTopology(of: bus, with: options.rabbit).write(to: file)
                }
                var assembly = try await assemble(
                    ShopEnvironment(
                        config: environment.config,
                        logger: environment.logger,
                        bus: bus,
                        redis: redis,
                        database: database,
                        writeTopology: writeTopology
                    )
                )
                try writeTopology()
                assembly.needsBus = needsBus
                assembly.checks.insert(ServiceDatabase.check(of: database), at: 0)
                assembly.publicPaths = ["/openapi.json"]
                assembly.close = close
                return assembly
            } catch {
                await close()
                throw error
            }
        }
    }
}

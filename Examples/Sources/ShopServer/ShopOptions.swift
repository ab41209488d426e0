import Configuration
import EventBusRabbit
import EventBusRedis
import EventBusServiceKit
import GRDB
import Logging
import ServiceStorage

/// The part of the configuration that the servers of the shop share.
struct ShopOptions: Sendable {
    var databasePath: String
    /// The connection string of PostgreSQL, or `nil` for SQLite.
    var databaseConnection: String?
    var rabbit: RabbitConfiguration
    var redis: RedisConfiguration
    /// The file to which the topology is written for `eventbus topology`, or `nil`.
    var topologyFile: String?

    /// Reads the keys.
    ///
    /// - Throws: `UsageError` for an invalid value.
    init(_ environment: ServiceEnvironment) throws(UsageError) {
        let config = environment.config
        databasePath = config.string(forKey: "database.path", default: "")
        guard !databasePath.isEmpty else { throw UsageError("database.path is empty; give the path of a file") }
        databaseConnection = config.string(forKey: "database", isSecret: true).flatMap { $0.isEmpty ? nil : $0 }
        rabbit = try environment.configuration(under: "rabbitmq") { try RabbitConfiguration(config: $0) }
        redis = try environment.configuration(under: "redis") { try RedisConfiguration(config: $0) }
        topologyFile = config.string(forKey: "topology.file")
    }

    /// Returns the keys.
    static func settings(name: String, executable: String) -> [Setting] {
        let database = [
            Setting(
                "database",
                .string,
                default: nil,
                isSecret: true,
                "a PostgreSQL database instead of SQLite: postgres://USER@HOST/NAME or another connection string of libpq"
            ),
            Setting(
                "database.path",
                .string,
                default: "\(name).sqlite",
                "the SQLite database, which is created if it is missing; unused if database is set"
            ),
        ]
        let topology = Setting(
            "topology.file",
            .string,
            default: nil,
            "a file to which the queues of the service are written at its start, for eventbus topology and doctor"
        )
        return database + [topology] + Setting.rabbitMQ(clientName: executable)
            // The events of the shop are small.
            + [Setting("rabbitmq.maximumBodySize", .int, default: "1048576", "the maximum size of a payload in bytes")]
            + Setting.redis(clientName: executable)
    }

    /// Opens the database and migrates its tables.
    func openDatabase(
        migrations: @Sendable (inout DatabaseMigrator) -> Void,
        postgresMigrations: KeyValuePairs<String, String>,
        logger: Logger
    ) async throws -> SQLDatabase {
        guard let databaseConnection else {
            return .sqlite(try await ServiceDatabase.open(path: databasePath, migrations: migrations))
        }
        return try await ServiceDatabase.open(
            postgres: databaseConnection,
            migrations: postgresMigrations,
            logger: logger
        )
    }
}

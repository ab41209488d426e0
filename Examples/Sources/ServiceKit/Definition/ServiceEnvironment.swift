public import Configuration
public import EventBus
public import EventBusRedis
public import GRDB
public import Logging

/// What a service is put together from. Everything is made, and nothing runs yet.
public struct ServiceEnvironment: Sendable {
    /// The configuration: flags, then the environment, then the file, then the defaults of the settings.
    public let config: ConfigReader
    /// Writes JSON lines to standard output.
    public let logger: Logger
    /// The bus, on RabbitMQ; the source of its events is the service's name.
    public let bus: EventBus
    /// The connection to Redis, which connects when it is first used.
    public let redis: RedisClient
    /// The service's SQLite database, migrated. What is committed in it survives a power cut.
    public let database: DatabasePool

    /// An environment, such as one for a test.
    public init(
        config: ConfigReader,
        logger: Logger,
        bus: EventBus,
        redis: RedisClient,
        database: DatabasePool
    ) {
        self.config = config
        self.logger = logger
        self.bus = bus
        self.redis = redis
        self.database = database
    }
}

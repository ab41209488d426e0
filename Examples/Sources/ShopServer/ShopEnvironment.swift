public import Configuration
public import EventBus
public import EventBusRedis
public import Logging
public import ServiceStorage

/// The dependencies from which a server of the shop is assembled. They are created but not running yet.
public struct ShopEnvironment: Sendable {
    /// The configuration: flags, then the environment, then the file, then the defaults of the settings.
    public let config: ConfigReader
    /// A logger that writes JSON lines to standard output.
    public let logger: Logger
    /// The bus on RabbitMQ. The source of its events is the service's name.
    public let bus: EventBus
    /// The connection to Redis, which connects when it is first used.
    public let redis: RedisClient
    /// The service's database, with migrated tables. Committed data survives a power failure.
    public let database: SQLDatabase
    /// A closure that writes the queues of the subscriptions to `topology.file`, if it is given. A service that subscribes
    /// after its assembly calls it then.
    public let writeTopology: @Sendable () throws -> Void
}

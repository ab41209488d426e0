public import Configuration
public import EventBus
public import Logging

/// The process of a service, from which its ``ServiceDefinition`` assembles the parts.
///
/// ```swift
/// let rabbit = try environment.configuration(under: "rabbitmq") { try RabbitConfiguration(config: $0) }
/// let bus = try EventBus(
///     transport: .rabbit(rabbit, logger: environment.logger),
///     configuration: environment.busConfiguration,
///     logger: environment.logger
/// )
/// ```
public struct ServiceEnvironment: Sendable {
    /// The configuration: flags, then the environment, then the file, then the defaults of the settings.
    public let config: ConfigReader
    /// A logger that writes JSON lines to standard output. Values of secret settings are never written.
    public let logger: Logger
    /// The default configuration of the bus: its source is the name of the service, and its shutdown may take 70 % of
    /// `shutdown.timeout`, because the other parts have to stop in that time too.
    public let busConfiguration: EventBusConfiguration

    /// Creates an environment, for example for a test of an assembly.
    public init(
        config: ConfigReader,
        logger: Logger,
        busConfiguration: EventBusConfiguration = EventBusConfiguration()
    ) {
        self.config = config
        self.logger = logger
        self.busConfiguration = busConfiguration
    }

    /// Creates a part of the configuration from the keys under `prefix`.
    ///
    /// ```swift
    /// let redis = try environment.configuration(under: "redis") { try RedisConfiguration(config: $0) }
    /// ```
    ///
    /// - Parameters:
    ///   - prefix: The first part of the keys, such as `rabbitmq` for `rabbitmq.uri`.
    ///   - make: A closure that creates the value from a reader, whose keys are without the prefix.
    /// - Throws: ``UsageError`` for any error of `make`. It names the prefix, and the program exits with 64.
    public func configuration<Value>(
        under prefix: ConfigKey,
        _ make: (ConfigReader) throws -> Value
    ) throws(UsageError) -> Value {
        do {
            return try make(config.scoped(to: prefix))
        } catch {
            throw UsageError("\(prefix): \((error as? EventBusError)?.message ?? "\(error)")")
        }
    }
}

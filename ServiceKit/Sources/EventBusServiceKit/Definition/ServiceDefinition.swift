public import Configuration
public import Logging

/// A deployable service: a process with a configuration, a bus, HTTP routes and a graceful shutdown.
///
/// ```swift
/// let service = ServiceDefinition(
///     name: "inventory",
///     executable: "inventory-service",
///     summary: "Reserves stock for orders.",
///     settings: Setting.rabbitMQ(clientName: "inventory-service")
/// ) { environment in
///     let rabbit = try environment.configuration(under: "rabbitmq") { try RabbitConfiguration(config: $0) }
///     let bus = try EventBus(
///         transport: .rabbit(rabbit, logger: environment.logger),
///         configuration: environment.busConfiguration,
///         logger: environment.logger
///     )
///     bus.subscribe(to: OrderCreated.self, group: "inventory") { order, context in … }
///     return ServiceAssembly(bus: bus)
/// }
/// exit(await service.main())
/// ```
///
/// ## Topics
///
/// ### Creating a service
///
/// - ``init(name:executable:summary:defaultPort:settings:version:spanExporter:assemble:)``
///
/// ### Running it
///
/// - ``main(arguments:)``
public struct ServiceDefinition: Sendable {
    /// The name in logs, metrics and spans, and the source of the service's events, such as `inventory`.
    public var name: String
    /// The name of the program in `--help` and in errors, such as `inventory-service`.
    public var executable: String
    /// The purpose of the service on one line, for `--help`.
    public var summary: String
    /// The default of `http.port`. Defaults to 8080.
    public var defaultPort: Int
    /// The keys of the configuration in addition to the common ones. Defaults to none.
    ///
    /// ```swift
    /// settings: Setting.rabbitMQ(clientName: "inventory-service") + [
    ///     Setting("stock.file", .string, default: nil, "a file with the opening stock")
    /// ]
    /// ```
    ///
    /// A flag that matches no setting is an error, and a key of the file that matches none causes a warning, so list
    /// every key that the service reads. A later setting replaces an earlier one with the same key, so a service can
    /// change a default, such as that of `http.maximumConnections`.
    public var settings: [Setting]
    /// The version that `--version` prints. Defaults to `1.0.0`.
    public var version: String
    /// A closure that creates the exporter of a tracing backend, or `nil` to write spans to the file that `trace.file`
    /// names. Defaults to `nil`.
    ///
    /// ```swift
    /// spanExporter: { config, logger in try CollectorExporter(url: config.requiredString(forKey: "collector.url")) }
    /// ```
    public var spanExporter: (@Sendable (ConfigReader, Logger) throws -> any SpanExporter)?
    /// A closure that assembles the parts.
    public var assemble: @Sendable (ServiceEnvironment) async throws -> ServiceAssembly

    /// Creates a service.
    ///
    /// - Parameters:
    ///   - name: The name, such as `inventory`: the source of its events, and the label of its logs, metrics and spans.
    ///   - executable: The name of its program, such as `inventory-service`.
    ///   - summary: The purpose on one line, for `--help`.
    ///   - defaultPort: The default of `http.port`.
    ///   - settings: The keys of its configuration in addition to the common ones.
    ///   - version: The version that `--version` prints after the program's name.
    ///   - spanExporter: A closure that creates the exporter of a tracing backend from the configuration. Defaults to
    ///     writing spans to the file that `trace.file` names, or to discarding them.
    ///   - assemble: A closure that assembles the parts. Everything that it creates is started afterwards. If it throws
    ///     ``UsageError`` or an `EventBusError` with code `.invalidConfiguration`, the program exits with 64, and
    ///     with 1 after any other error.
    public init(
        name: String,
        executable: String,
        summary: String,
        defaultPort: Int = 8080,
        settings: [Setting] = [],
        version: String = "1.0.0",
        spanExporter: (@Sendable (ConfigReader, Logger) throws -> any SpanExporter)? = nil,
        assemble: @escaping @Sendable (ServiceEnvironment) async throws -> ServiceAssembly
    ) {
        self.name = name
        self.executable = executable
        self.summary = summary
        self.defaultPort = defaultPort
        self.settings = settings
        self.version = version
        self.spanExporter = spanExporter
        self.assemble = assemble
    }
}

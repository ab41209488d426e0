public import Configuration
public import GRDB
public import Logging

/// A deployable service: a process with a configuration, a database, a bus, HTTP routes and a graceful shutdown.
///
/// ```swift
/// @main
/// struct OrderServer {
///     static func main() async {
///         exit(await ServiceDefinition.orders.main())
///     }
/// }
/// ```
public struct ServiceDefinition: Sendable {
    /// The name in logs, metrics and spans, and the source of the service's events.
    public var name: String
    /// The name of its program.
    public var executable: String
    /// The purpose on one line.
    public var summary: String
    /// The default port.
    public var defaultPort: Int
    /// The keys of the configuration in addition to the common ones.
    public var settings: [Setting]
    /// A Boolean value indicating whether the service is not ready while the broker is unreachable.
    public var needsBroker: Bool
    /// A closure that registers the service's tables in SQLite.
    public var migrations: @Sendable (inout DatabaseMigrator) -> Void
    /// The scripts of the service's tables in PostgreSQL by name, oldest first.
    public var postgresMigrations: KeyValuePairs<String, String>
    /// A closure that assembles the parts.
    public var assemble: @Sendable (ServiceEnvironment) async throws -> ServiceAssembly
    /// The version that `--version` prints.
    public var version: String
    /// A closure that creates the exporter of spans, or `nil` to write them to the file that `trace.file` names.
    public var spanExporter: (@Sendable (ConfigReader, Logger) throws -> any SpanExporter)?

    /// Creates a service.
    ///
    /// - Parameters:
    ///   - name: The name, such as `orders`: the source of its events, and the label of its logs, metrics and spans.
    ///   - executable: The name of its program, such as `order-service`.
    ///   - summary: The purpose on one line, for `--help`.
    ///   - defaultPort: The default of `http.port`.
    ///   - settings: The keys of its configuration in addition to the common ones.
    ///   - needsBroker: `true` if readiness depends on the bus. Pass `false` for a service whose events wait in an
    ///     outbox.
    ///   - version: The version that `--version` prints after the program's name.
    ///   - spanExporter: A closure that creates the exporter of a tracing backend from the configuration. Defaults to
    ///     writing spans to the file that `trace.file` names, or to discarding them.
    ///   - migrations: A closure that registers its tables in SQLite.
    ///   - postgresMigrations: The scripts of its tables in PostgreSQL by name, oldest first.
    ///   - assemble: A closure that assembles its parts. Everything that it receives is created but not running yet.
    public init(
        name: String,
        executable: String,
        summary: String,
        defaultPort: Int,
        settings: [Setting] = [],
        needsBroker: Bool,
        version: String = "1.0.0",
        spanExporter: (@Sendable (ConfigReader, Logger) throws -> any SpanExporter)? = nil,
        migrations: @escaping @Sendable (inout DatabaseMigrator) -> Void,
        postgresMigrations: KeyValuePairs<String, String> = [:],
        assemble: @escaping @Sendable (ServiceEnvironment) async throws -> ServiceAssembly
    ) {
        self.name = name
        self.executable = executable
        self.summary = summary
        self.defaultPort = defaultPort
        self.settings = settings
        self.needsBroker = needsBroker
        self.version = version
        self.spanExporter = spanExporter
        self.migrations = migrations
        self.postgresMigrations = postgresMigrations
        self.assemble = assemble
    }
}

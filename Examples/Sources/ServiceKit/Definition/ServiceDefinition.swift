public import Configuration
public import GRDB
public import Logging

/// A service as an operator runs it: a process with a configuration, a database, a bus, HTTP routes and an orderly end.
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
    /// What it is called in logs, metrics and spans, and as the source of its events.
    public var name: String
    /// The name of its program.
    public var executable: String
    /// What it does, in one line.
    public var summary: String
    /// The port that it listens on unless told otherwise.
    public var defaultPort: Int
    /// The keys of its configuration, beyond the common ones.
    public var settings: [Setting]
    /// Whether it is of no use while the broker cannot be reached.
    public var needsBroker: Bool
    /// Adds the tables that it needs.
    public var migrations: @Sendable (inout DatabaseMigrator) -> Void
    /// Puts its parts together.
    public var assemble: @Sendable (ServiceEnvironment) async throws -> ServiceAssembly
    /// What is told with `--version`.
    public var version: String
    /// Where spans go; `nil` for the file that `trace.file` names.
    public var spanExporter: (@Sendable (ConfigReader, Logger) throws -> any SpanExporter)?

    /// A service.
    ///
    /// - Parameters:
    ///   - name: What it is called, such as `orders`: the source of its events, the label of its logs, metrics and spans.
    ///   - executable: The name of its program, such as `order-service`.
    ///   - summary: What it does, in one line, for `--help`.
    ///   - defaultPort: The port that it listens on unless `http.port` says otherwise.
    ///   - settings: The keys of its configuration, beyond the common ones.
    ///   - needsBroker: Whether readiness depends on the bus. False for a service whose events wait in an outbox.
    ///   - version: What `--version` prints after the program's name.
    ///   - spanExporter: What makes a tracing backend of the user's own from the configuration; where it is left out,
    ///     spans go to the file that `trace.file` names, or nowhere.
    ///   - migrations: Adds the tables that it needs.
    ///   - assemble: Puts its parts together. Everything it is given is made, and nothing runs yet.
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
        self.assemble = assemble
    }
}

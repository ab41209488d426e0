public import Hummingbird
public import ServiceLifecycle

/// The assembled parts of a service.
public struct ServiceAssembly: Sendable {
    /// The services in addition to the bus and the HTTP server. They are started after the bus and stopped before it.
    public var services: [any Service]
    /// The health checks in addition to those of the bus and the database.
    public var checks: [HealthCheck]
    /// A closure that adds the service's routes.
    public var routes: @Sendable (Router<ServiceRequestContext>) -> Void

    /// Creates the parts of a service.
    ///
    /// - Parameters:
    ///   - services: The services in addition to the bus and the HTTP server, such as the relay of an outbox. They are
    ///     started after the bus and stopped before it.
    ///   - checks: The health checks in addition to those of the bus and the database.
    ///   - routes: A closure that adds the service's routes. They have correlation ids, spans, metrics and problem
    ///     documents automatically. `/health/live`, `/health/ready` and `/metrics` are reserved.
    public init(
        services: [any Service] = [],
        checks: [HealthCheck] = [],
        routes: @escaping @Sendable (Router<ServiceRequestContext>) -> Void = { _ in }
    ) {
        self.services = services
        self.checks = checks
        self.routes = routes
    }
}

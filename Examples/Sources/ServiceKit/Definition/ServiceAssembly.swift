public import Hummingbird
public import ServiceLifecycle

/// The parts of a service, put together.
public struct ServiceAssembly: Sendable {
    /// What runs besides the bus and the HTTP server: started after the bus and stopped before it.
    public var services: [any Service]
    /// What readiness depends on, beyond the bus and the database.
    public var checks: [HealthCheck]
    /// Adds the service's routes.
    public var routes: @Sendable (Router<ServiceRequestContext>) -> Void

    /// The parts of a service.
    ///
    /// - Parameters:
    ///   - services: What runs besides the bus and the HTTP server, such as an outbox's relay: started after the bus and
    ///     stopped before it.
    ///   - checks: What readiness depends on, beyond the bus and the database.
    ///   - routes: Adds the service's routes. They have correlation ids, spans, metrics and problem documents already;
    ///     `/health/live`, `/health/ready` and `/metrics` are taken.
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

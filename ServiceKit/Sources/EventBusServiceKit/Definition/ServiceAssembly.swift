public import EventBus
public import Hummingbird
public import ServiceLifecycle

/// The assembled parts of a service, which its ``ServiceDefinition`` returns.
///
/// ```swift
/// ServiceAssembly(
///     bus: bus,
///     services: [relay],
///     checks: [HealthCheck(isRequired: false) { [relay.health()] }]
/// ) { router in
///     router.get("orders/{id}") { request, context in … }
/// } close: {
///     await redis.close()
/// }
/// ```
public struct ServiceAssembly: Sendable {
    /// The bus, which the kit runs and shuts down. Its subscriptions are registered, and it is not running yet.
    public var bus: EventBus
    /// A Boolean value indicating whether the service is not ready while the bus is not, and not live if the bus cannot
    /// recover. Defaults to `true`.
    ///
    /// Set it to `false` for a service that works without the broker, because its events wait in an outbox. Its health
    /// then only lists the bus.
    public var needsBus: Bool
    /// The services in addition to the bus and the HTTP server, such as the relay of an outbox. They are started after
    /// the bus and stopped before it. Defaults to none.
    public var services: [any Service]
    /// The health checks in addition to that of the bus. Defaults to none.
    public var checks: [HealthCheck]
    /// The paths that may be read without the token of a client, such as `/openapi.json`. Defaults to none.
    ///
    /// Only `GET` and `HEAD` requests need no token. Health and metrics never need one.
    public var publicPaths: Set<String>
    /// A closure that adds the service's routes. Defaults to none.
    public var routes: @Sendable (Router<ServiceRequestContext>) -> Void
    /// A closure that closes what the parts share, such as database connections.
    ///
    /// It is called once, after all parts have stopped, even if one of them failed. Defaults to doing nothing.
    public var close: @Sendable () async -> Void

    /// Creates the parts of a service.
    ///
    /// - Parameters:
    ///   - bus: The bus with its subscriptions, which is not running yet.
    ///   - needsBus: `true` if the service is not ready without the bus. Pass `false` if its events wait in an outbox.
    ///   - services: The services in addition to the bus and the HTTP server. They are started after the bus and
    ///     stopped before it.
    ///   - checks: The health checks in addition to that of the bus.
    ///   - publicPaths: The paths that may be read without a token.
    ///   - routes: A closure that adds the service's routes. They have correlation ids, spans, metrics and problem
    ///     documents automatically. `/health/live`, `/health/ready` and `/metrics` are reserved.
    ///   - close: A closure that closes what the parts share, after all of them have stopped.
    public init(
        bus: EventBus,
        needsBus: Bool = true,
        services: [any Service] = [],
        checks: [HealthCheck] = [],
        publicPaths: Set<String> = [],
        routes: @escaping @Sendable (Router<ServiceRequestContext>) -> Void = { _ in },
        close: @escaping @Sendable () async -> Void = {}
    ) {
        self.bus = bus
        self.needsBus = needsBus
        self.services = services
        self.checks = checks
        self.publicPaths = publicPaths
        self.routes = routes
        self.close = close
    }
}

import CoreMetrics
public import Hummingbird
public import Logging
import Tracing

extension Router where Context == ServiceRequestContext {
    /// Returns a router with correlation ids, spans, metrics and problem documents, as a service has it, for a test of
    /// its routes.
    ///
    /// ```swift
    /// let router = Router.service(access: .open, routes: OrderRoutes().add)
    /// try await Application(router: router).test(.router) { client in
    ///     try await client.execute(uri: "/orders/0", method: .get) { #expect($0.status == .notFound) }
    /// }
    /// ```
    ///
    /// - Parameters:
    ///   - level: The minimum level of the loggers of requests. Defaults to `info`.
    ///   - access: The clients that have access.
    ///   - publicPaths: The paths that may be read without a token. Defaults to none.
    ///   - routes: A closure that adds the routes.
    public static func service(
        level: Logger.Level = .info,
        access: HTTPAccess,
        publicPaths: Set<String> = [],
        routes: (Router<ServiceRequestContext>) -> Void
    ) -> Router<ServiceRequestContext> {
        ServiceRouter(
            level: level,
            access: access,
            publicPaths: publicPaths,
            hosts: AllowedHosts(),
            bodies: BodyBudget()
        ).make(routes)
    }
}

/// A factory for the router of a service.
///
/// What protects the service has no default, so that it cannot be forgotten.
struct ServiceRouter {
    var level = Logger.Level.info
    var access: HTTPAccess
    var publicPaths: Set<String> = []
    var hosts: AllowedHosts
    var bodies: BodyBudget
    var tracer: (any Tracer)?
    var metrics: (any MetricsFactory)?

    /// Returns the router with `routes`, and with `unobserved` routes that are neither traced nor counted.
    func make(
        _ routes: (Router<ServiceRequestContext>) -> Void,
        unobserved: (Router<ServiceRequestContext>) -> Void = { _ in }
    ) -> Router<ServiceRequestContext> {
        let table = RouteTable()
        let router = Router(context: ServiceRequestContext.self, options: .autoGenerateHeadEndpoints)
        router.add(middleware: CorrelationMiddleware(level: level, bodies: bodies))
        router.add(middleware: HostMiddleware(hosts: hosts))
        unobserved(router)
        router.add(middleware: tracer.map { ServerSpanMiddleware(tracer: $0) } ?? ServerSpanMiddleware())
        router.add(middleware: RequestMetricsMiddleware(factory: metrics))
        router.add(middleware: ProblemMiddleware(routes: table))
        router.add(middleware: AccessMiddleware(access: access, publicPaths: publicPaths))
        routes(router)
        table.read(router)
        return router
    }
}

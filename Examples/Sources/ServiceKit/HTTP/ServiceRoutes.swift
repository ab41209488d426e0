import CoreMetrics
public import Hummingbird
public import Logging
import Tracing

extension ServiceAssembly {
    /// Returns the router of the service's routes with correlation ids, spans, metrics and problem documents, for
    /// tests.
    ///
    /// ```swift
    /// try await Application(router: assembly.router()).test(.router) { client in … }
    /// ```
    ///
    /// - Parameters:
    ///   - logger: The logger whose level requests use. Defaults to level `info`.
    ///   - access: The clients that have access. Defaults to everyone.
    public func router(
        logger: Logger = Logger(label: "service"),
        access: HTTPAccess = .open
    ) -> Router<ServiceRequestContext> {
        ServiceRouter(level: logger.logLevel, access: access).make(for: self) { _ in }
    }
}

/// A factory for the router of a service.
struct ServiceRouter {
    var level = Logger.Level.info
    var access = HTTPAccess.open
    var hosts = AllowedHosts()
    var bodies = BodyBudget()
    var tracer: (any Tracer)?
    var metrics: (any MetricsFactory)?

    /// Returns the router with the assembly's routes, and with `unobserved` routes that are neither traced nor counted.
    func make(
        for assembly: ServiceAssembly,
        unobserved: (Router<ServiceRequestContext>) -> Void
    ) -> Router<ServiceRequestContext> {
        let table = RouteTable()
        let router = Router(context: ServiceRequestContext.self, options: .autoGenerateHeadEndpoints)
        router.add(middleware: CorrelationMiddleware(level: level, bodies: bodies))
        router.add(middleware: HostMiddleware(hosts: hosts))
        unobserved(router)
        router.add(middleware: tracer.map { ServerSpanMiddleware(tracer: $0) } ?? ServerSpanMiddleware())
        router.add(middleware: RequestMetricsMiddleware(factory: metrics))
        router.add(middleware: ProblemMiddleware(routes: table))
        router.add(middleware: AccessMiddleware(access: access))
        assembly.routes(router)
        table.read(router)
        return router
    }
}

public import EventBus
public import Hummingbird

/// The routes for orchestrators and monitoring: `/health/live`, `/health/ready` and `/metrics`.
///
/// A ``ServiceDefinition`` has them. Add them to the router of another program like this:
///
/// ```swift
/// let registry = MetricsRegistry(service: "inventory")
/// MetricsSystem.bootstrap(registry)
/// let readiness = Readiness(checks: [HealthCheck(isRequired: true) { bus.health().components }])
///
/// let router = Router()
/// OperationsRoutes(readiness: readiness, metrics: registry, health: { bus.health() }).add(to: router)
///
/// let services: [any Service] = [Application(router: router), bus, readiness]
/// try await ServiceGroup(services: services, logger: logger).run()
/// ```
///
/// | route | 200 | 503 |
/// |---|---|---|
/// | `/health/live` | the process works | it cannot recover: restart it |
/// | `/health/ready` | it should receive requests | it is starting, draining, or a required check is not ready |
/// | `/metrics` | the metrics in Prometheus's text format | |
public struct OperationsRoutes: Sendable {
    private let readiness: Readiness
    private let metrics: MetricsRegistry
    private let health: @Sendable () -> HealthReport

    /// Creates the routes.
    ///
    /// - Parameters:
    ///   - readiness: The readiness for `/health/ready`.
    ///   - metrics: The metrics for `/metrics`.
    ///   - health: A closure that returns the report for `/health/live`, such as that of the bus. The process is live
    ///     unless a component has failed for good.
    public init(
        readiness: Readiness,
        metrics: MetricsRegistry,
        health: @escaping @Sendable () -> HealthReport
    ) {
        self.readiness = readiness
        self.metrics = metrics
        self.health = health
    }

    /// Adds the routes to a router. Middleware that was added to the router before also applies to them.
    public func add<Context>(to router: some RouterMethods<Context>) {
        router.get("health/live") { [health] _, _ in
            let report = health()
            let document = HealthDocument(
                status: report.isLive ? "live" : "failed",
                reasons: report.isLive ? [] : [report.reason],
                report.components.map { HealthDocument.Component($0, required: true) }
            )
            return JSONResponse(document, status: report.isLive ? .ok : .serviceUnavailable, headers: Self.uncached)
        }
        router.get("health/ready") { [readiness] _, _ in
            let document = await readiness.document()
            return JSONResponse(document, status: document.isReady ? .ok : .serviceUnavailable, headers: Self.uncached)
        }
        router.get("metrics") { [metrics] _, _ in
            Response(
                status: .ok,
                headers: [.contentType: "text/plain; version=0.0.4; charset=utf-8"],
                body: ResponseBody(byteBuffer: ByteBuffer(string: metrics.text()))
            )
        }
    }

    private static let uncached: HTTPFields = [.cacheControl: "no-store"]
}

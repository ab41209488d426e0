import CoreMetrics
import Hummingbird
import Logging
import Metrics
import Synchronization

/// Middleware that counts and times requests by method, route and status. All three have few values, so there are few
/// series.
final class RequestMetricsMiddleware: RouterMiddleware {
    typealias Context = ServiceRequestContext

    private struct Labels: Hashable {
        var method: String
        var route: String
        var status: Int
    }

    private struct Instruments {
        let counter: Counter
        let duration: Timer
    }

    private let fixedFactory: (any MetricsFactory)?
    private let known = Mutex<[Labels: Instruments]>([:])

    /// Creates middleware that uses `factory`. Defaults to the metrics system of the process.
    init(factory: (any MetricsFactory)? = nil) {
        fixedFactory = factory
    }

    func handle(
        _ request: Request,
        context: ServiceRequestContext,
        next: @concurrent (Request, ServiceRequestContext) async throws -> Response
    ) async throws -> Response {
        let start = ContinuousClock.now
        let response = try await next(request, context)
        let labels = Labels(
            method: HTTPLabels.method(request.method),
            route: HTTPLabels.route(context.endpointPath),
            status: response.status.code
        )
        let instruments = instruments(labels)
        instruments.counter.increment()
        let duration = start.duration(to: .now)
        instruments.duration.record(duration: duration)
        context.logger.debug(
            "request served",
            metadata: [
                "method": "\(labels.method)", "path": "\(request.uri.path)", "status": "\(labels.status)",
                "duration": "\(duration)",
            ]
        )
        return response
    }

    private func instruments(_ labels: Labels) -> Instruments {
        known.withLock { known in
            if let made = known[labels] { return made }
            let factory = fixedFactory ?? MetricsSystem.factory
            let dimensions = [
                ("method", labels.method), ("route", labels.route), ("status", "\(labels.status)"),
            ]
            let made = Instruments(
                counter: Counter(label: "http.server.requests", dimensions: dimensions, factory: factory),
                duration: Timer(label: "http.server.request.duration", dimensions: dimensions, factory: factory)
            )
            known[labels] = made
            return made
        }
    }
}

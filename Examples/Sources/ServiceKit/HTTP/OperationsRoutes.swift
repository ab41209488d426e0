import EventBus
import Hummingbird

/// The routes for operators: health and metrics.
struct OperationsRoutes: Sendable {
    let readiness: Readiness
    /// A closure that returns the health report that decides whether the process is live.
    let isLive: @Sendable () -> HealthReport
    let metrics: @Sendable () -> String

    func add(to router: Router<ServiceRequestContext>) {
        router.get("health/live") { _, _ in
            let report = isLive()
            let document = HealthDocument(
                status: report.isLive ? "live" : "failed",
                reasons: report.isLive ? [] : [report.reason],
                report.components.map { HealthDocument.Component($0, required: true) }
            )
            return JSONResponse(document, status: report.isLive ? .ok : .serviceUnavailable, headers: Self.uncached)
        }
        router.get("health/ready") { _, _ in
            let document = await readiness.document()
            return JSONResponse(document, status: document.isReady ? .ok : .serviceUnavailable, headers: Self.uncached)
        }
        router.get("metrics") { _, _ in
            Response(
                status: .ok,
                headers: [.contentType: "text/plain; version=0.0.4; charset=utf-8"],
                body: ResponseBody(byteBuffer: ByteBuffer(string: metrics()))
            )
        }
    }

    private static let uncached: HTTPFields = [.cacheControl: "no-store"]
}

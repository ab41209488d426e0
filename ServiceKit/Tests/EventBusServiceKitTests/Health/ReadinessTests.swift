import EventBus
import Hummingbird
import HummingbirdTesting
import Testing

@testable import EventBusServiceKit

@Suite("Health", .timeLimit(.minutes(1)))
struct ReadinessTests {
    private static func check(_ name: String, isRequired: Bool, _ status: ComponentHealth.Status) -> HealthCheck {
        HealthCheck(isRequired: isRequired) {
            [ComponentHealth(name: name, status: status, reason: status == .ready ? nil : "away", details: ["n": 1])]
        }
    }

    @Test("A service is ready between its start and its end")
    func phases() async {
        let readiness = Readiness(checks: [Self.check("database", isRequired: true, .ready)])
        var document = await readiness.document()
        #expect(!document.isReady && document.reason == "the service is starting")
        readiness.begin()
        document = await readiness.document()
        #expect(document.isReady && document.reason == nil && document.status == "ready")
        readiness.drain()
        document = await readiness.document()
        #expect(!document.isReady && document.reason == "the service is shutting down")
        readiness.begin()
        #expect(await !readiness.document().isReady)
    }

    @Test("Required checks decide, and others are only listed", arguments: [ComponentHealth.Status.notReady, .failed])
    func required(status: ComponentHealth.Status) async {
        let relaxed = Readiness(checks: [Self.check("redis", isRequired: false, status)])
        let strict = Readiness(checks: [Self.check("redis", isRequired: true, status)])
        relaxed.begin()
        strict.begin()
        let listed = await relaxed.document()
        #expect(listed.isReady && listed.components[0].status == status.rawValue && !listed.components[0].required)
        let decisive = await strict.document()
        #expect(!decisive.isReady && decisive.reason == "redis: away")
    }

    @Test("A check without an answer makes the service not ready")
    func late() async {
        let readiness = Readiness(
            checks: [
                HealthCheck(isRequired: true) {
                    try? await Task.sleep(for: .seconds(600))
                    return []
                }
            ],
            timeout: .milliseconds(5)
        )
        readiness.begin()
        let document = await readiness.document()
        #expect(document.reason == "check: did not answer within 0.005 seconds")
    }

    @Test("Health over HTTP is 503 with the reason, then 200, and metrics are text")
    func routes() async throws {
        let readiness = Readiness(checks: [Self.check("database", isRequired: true, .ready)])
        let registry = MetricsRegistry()
        let operations = OperationsRoutes(
            readiness: readiness,
            metrics: registry,
            health: { HealthReport(components: []) }
        )
        let exporter = RecordingExporter()
        let tracer = ServiceTracer(service: "orders", exporter: exporter)
        let router = ServiceRouter.open(tracer: tracer, metrics: registry).make { _ in
        } unobserved: {
            operations.add(to: $0)
        }
        try await Application(router: router).test(.router) { client in
            try await client.execute(uri: "/health/ready", method: .get) { response in
                #expect(response.status == .serviceUnavailable)
                #expect(response.headers[.cacheControl] == "no-store")
                let document = try JSONObject(String(buffer: response.body))
                #expect(document["status"] == "starting" && document["reason"] == "the service is starting")
            }
            readiness.begin()
            try await client.execute(uri: "/health/ready", method: .get) { response in
                #expect(response.status == .ok)
                let component = try #require(try JSONObject(String(buffer: response.body)).array("components")?.first)
                #expect(component["name"] as? String == "database" && component["required"] as? Bool == true)
                #expect((component["details"] as? [String: Int]) == ["n": 1])
            }
            try await client.execute(uri: "/health/live", method: .get) { response in
                #expect(response.status == .ok)
                let document = try JSONObject(String(buffer: response.body))
                #expect(document["status"] == "live")
            }
            try await client.execute(uri: "/metrics", method: .get) { response in
                #expect(response.headers[.contentType] == "text/plain; version=0.0.4; charset=utf-8")
                _ = try PrometheusDocument(String(buffer: response.body))
            }
            try await client.execute(uri: "/metrics", method: .post) { #expect($0.status == .methodNotAllowed) }
        }
        // Frequent requests for health and metrics are neither traced nor counted.
        #expect(exporter.spans.map(\.name) == ["POST /metrics"])
    }

    @Test("A service whose bus cannot recover is not live")
    func notLive() async throws {
        let broken = ComponentHealth(name: "transport", status: .failed, reason: "password refused")
        let operations = OperationsRoutes(
            readiness: Readiness(checks: []),
            metrics: MetricsRegistry(),
            health: { HealthReport(components: [broken]) }
        )
        let router = ServiceRouter.open().make { operations.add(to: $0) }
        try await Application(router: router).test(.router) { client in
            try await client.execute(uri: "/health/live", method: .get) { response in
                #expect(response.status == .serviceUnavailable)
                let document = try JSONObject(String(buffer: response.body))
                #expect(document["reason"] == "transport: password refused")
            }
        }
    }
}

import CoreMetrics
import Tracing

@testable import EventBusServiceKit

extension ServiceRouter {
    /// Returns a factory for a router without tokens, for tests of everything else.
    static func open(
        hosts: AllowedHosts = AllowedHosts(),
        bodies: BodyBudget = BodyBudget(),
        tracer: (any Tracer)? = nil,
        metrics: (any MetricsFactory)? = nil
    ) -> ServiceRouter {
        ServiceRouter(access: .open, hosts: hosts, bodies: bodies, tracer: tracer, metrics: metrics)
    }
}

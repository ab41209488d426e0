import CoreMetrics
import EventBus
import Metrics

/// The metrics of a rate limiter, under `eventbus.rate_limit.`.
struct RateLimiterMetrics: Sendable {
    private let granted: Counter
    private let refused: Counter
    private let failed: Counter

    /// Creates the metrics with `factory`, which defaults to the bootstrapped metrics system.
    init(prefix: String, factory: (any MetricsFactory)? = nil) {
        let factory = factory ?? MetricsSystem.factory
        func counter(_ outcome: String) -> Counter {
            Counter(
                label: "eventbus.rate_limit.requests",
                dimensions: [("limiter", prefix), ("outcome", outcome)],
                factory: factory
            )
        }
        granted = counter("granted")
        refused = counter("refused")
        failed = counter("failed")
    }

    /// Records a decision.
    func note(_ decision: RateLimitDecision) {
        if decision.isGranted { granted.increment() } else { refused.increment() }
    }

    /// Records a request without a decision.
    func noteFailure() { failed.increment() }
}

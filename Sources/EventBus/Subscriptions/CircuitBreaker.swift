/// The conditions under which a subscription pauses because too many of its attempts fail, and tries again.
///
/// ```swift
/// var options = SubscriptionOptions()
/// options.breaker = CircuitBreaker(failureShare: 0.5, window: .seconds(60), probeInterval: .seconds(30))
/// ```
///
/// It spares a service that is down, and the attempts of events that would fail there. When the breaker opens, the
/// subscription pauses: its deliveries stay unacknowledged, and running handlers finish. After ``probeInterval``, one
/// event probes the handler. If it succeeds, the subscription continues. If it fails, another event probes after the same
/// time. A failed probe counts as an attempt of its event, like any other. Health reports and logs name the reason, and
/// the metric `eventbus.paused` is 1.
///
/// Events that are retried, that became dead letters after their last attempt, or that wait for an outage count as
/// failures, and so do requests whose responder threw. Those whose own content is to blame do not count, such as
/// ``NonRetryable`` errors and those of a publish that no broker would accept (``EventBusError/Code/isAboutTheEvent``),
/// and neither do events for which the handler did not run, such as duplicates that an inbox suppresses. Each instance
/// counts for itself.
public struct CircuitBreaker: Hashable, Sendable {
    /// The share of failures among the attempts of the ``window`` at which the breaker opens, from 0 to 1. Defaults to
    /// 0.5.
    public var failureShare: Double
    /// The minimum number of attempts within the ``window`` before the breaker may open. Defaults to 20.
    public var minimumAttempts: Int
    /// The time for which attempts count. Defaults to 60 s.
    public var window: Duration
    /// The time before an event probes the handler of a paused subscription. Together with
    /// ``SubscriptionOptions/maximumHold`` it has to be less than the broker's consumer timeout. Defaults to 30 s.
    public var probeInterval: Duration

    /// Creates a breaker. Omitted values use the defaults.
    public init(
        failureShare: Double = 0.5,
        minimumAttempts: Int = 20,
        window: Duration = .seconds(60),
        probeInterval: Duration = .seconds(30)
    ) {
        self.failureShare = failureShare
        self.minimumAttempts = minimumAttempts
        self.window = window
        self.probeInterval = probeInterval
    }

    /// Returns a description of the invalid value, or `nil` if all are valid.
    func problem(maximumHold: Duration) -> String? {
        guard failureShare > 0, failureShare <= 1 else {
            return "a breaker with failureShare \(failureShare); give a share above 0 and up to 1"
        }
        if minimumAttempts < 1 { return "a breaker with minimumAttempts \(minimumAttempts); give 1 or more" }
        if window <= .zero { return "a breaker with window \(window); give the time for which attempts count" }
        guard probeInterval > .zero, probeInterval <= maximumHold else {
            return "a breaker with probeInterval \(probeInterval); give a time of up to maximumHold, which is "
                + "\(maximumHold)"
        }
        return nil
    }
}

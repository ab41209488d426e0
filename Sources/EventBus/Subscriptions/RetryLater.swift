/// An error that postpones an event to a time that its handler knows, such as that of an HTTP `Retry-After` header.
///
/// ```swift
/// guard response.status != .tooManyRequests else {
///     throw RetryLater(after: .seconds(30), countsAsAttempt: false)
/// }
/// ```
///
/// By default the attempt counts, so that the event becomes a dead letter after the attempts of its
/// ``SubscriptionOptions/retry`` policy. If it does not count, the event is deferred, for
/// ``SubscriptionOptions/maximumDeferral`` in total, and then becomes a dead letter with the reason
/// ``Failure/Reason/postponed``. A by-key or broadcast subscription holds it for at most
/// ``SubscriptionOptions/maximumHold``.
public struct RetryLater: Error, Hashable, Sendable, CustomStringConvertible {
    /// The delay before the next attempt. A negative duration counts as zero.
    ///
    /// It is at most ``TransportLimits/maximumDelay``, and at least 100 ms if the attempt does not count. If the attempt
    /// counts, the delay is shortened to the time that is left of ``RetryPolicy/maximumTime``. A by-key or
    /// broadcast subscription shortens it to the time that is left of ``SubscriptionOptions/maximumHold``.
    public let delay: Duration
    /// A Boolean value indicating whether the attempt counts. Defaults to `true`.
    public let countsAsAttempt: Bool
    /// The reason for the log and for a dead letter. Defaults to an empty text.
    public let reason: String

    /// Creates an error that postpones the event.
    public init(after delay: Duration, countsAsAttempt: Bool = true, reason: String = "") {
        self.delay = min(max(delay, .zero), .longest)
        self.countsAsAttempt = countsAsAttempt
        self.reason = reason
    }

    /// The shortest delay of an event whose attempt does not count, which keeps it from occupying a worker.
    static let shortestDeferral = Duration.milliseconds(100)

    /// The delay and the reason.
    public var description: String {
        "the handler asked for another attempt after \(delay)" + (reason.isEmpty ? "" : ": \(reason)")
    }
}

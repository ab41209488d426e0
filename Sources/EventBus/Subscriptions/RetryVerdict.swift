/// A decision about a failed event that depends on its error.
///
/// ``SubscriptionOptions/retryVerdict`` returns it, also for errors of other libraries and for single cases of an error:
///
/// ```swift
/// var options = SubscriptionOptions()
/// options.retryVerdict = { error in
///     switch error {
///     case PaymentError.cardDeclined: .giveUp
///     case is DatabaseLocked: .retry(after: .milliseconds(50))
///     default: .byPolicy
///     }
/// }
/// ```
public struct RetryVerdict: Hashable, Sendable {
    /// The kinds of verdicts.
    package enum Kind: Hashable, Sendable {
        case byPolicy
        case giveUp
        case retry(after: Duration?, maximumAttempts: Int)
    }

    package let kind: Kind

    /// The kind of the error and the retry policy decide, as if there was no verdict.
    public static let byPolicy = RetryVerdict(kind: .byPolicy)

    /// The event becomes a dead letter immediately, with the reason ``Failure/Reason/nonRetryable``.
    public static let giveUp = RetryVerdict(kind: .giveUp)

    /// The event is retried.
    ///
    /// - Parameters:
    ///   - delay: The delay before the next attempt, or `nil` for that of the policy. A negative duration counts as zero,
    ///     and a longer one than ``TransportLimits/maximumDelay`` as that. It ends with ``RetryPolicy/maximumTime``. A by-key or broadcast subscription shortens it
    ///     to the time that is left of ``SubscriptionOptions/maximumHold``.
    ///   - maximumAttempts: The total number of attempts for this error, or `nil` for that of the policy. It cannot exceed
    ///     the number of the policy. A smaller number does not change ``EventContext/isLastAttempt``, because the error is
    ///     known only after the attempt.
    public static func retry(after delay: Duration? = nil, maximumAttempts: Int? = nil) -> RetryVerdict {
        RetryVerdict(kind: .retry(after: delay.map { max(.zero, $0) }, maximumAttempts: maximumAttempts ?? .max))
    }
}

internal import Glibc

/// How often a failed delivery is tried again, and after how long.
///
/// The delay before attempt *n + 1* is drawn from zero to `initial × multiplier^(n − 1)`, at most `maximum`: exponential
/// backoff with full jitter (Marc Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015), which
/// spreads the retries of many failing deliveries evenly.
///
/// The default makes 12 attempts. The delays between the first and the last add up to 70 s on average and to 141 s at
/// most, which outlasts the restart of a database.
///
/// ```swift
/// let patient = RetryPolicy(maxAttempts: 20, initial: .milliseconds(500), maximum: .seconds(60))
/// ```
///
/// Only attempts whose handler ran and failed count; see <doc:DeliveryOfAnEvent>. Values that make no sense are clamped
/// when they are set.
public struct RetryPolicy: Hashable, Sendable {
    /// The number of attempts in all, the first included. Defaults to 12. 1 means no retry; smaller values count as 1.
    public var maxAttempts: Int {
        didSet { maxAttempts = Self.clamped(maxAttempts) }
    }
    /// The bound of the first delay. Defaults to 200 ms. A negative duration counts as zero.
    public var initial: Duration {
        didSet { initial = Self.clamped(initial) }
    }
    /// The factor by which the bound grows with each attempt. Defaults to 2. Values below 1, and what is not a number,
    /// count as 1.
    public var multiplier: Double {
        didSet { multiplier = Self.clamped(multiplier) }
    }
    /// The bound that no delay exceeds. Defaults to 30 s. A negative duration counts as zero.
    public var maximum: Duration {
        didSet { maximum = Self.clamped(maximum) }
    }
    /// A Boolean value that indicates whether delays are drawn at random; if not, each is its bound. Defaults to `true`.
    public var jitter: Bool

    /// Creates a policy of exponential backoff. Omitted values use the defaults, and values that make no sense are
    /// clamped as the properties describe.
    public init(
        maxAttempts: Int = 12,
        initial: Duration = .milliseconds(200),
        multiplier: Double = 2,
        maximum: Duration = .seconds(30),
        jitter: Bool = true
    ) {
        self.maxAttempts = Self.clamped(maxAttempts)
        self.initial = Self.clamped(initial)
        self.multiplier = Self.clamped(multiplier)
        self.maximum = Self.clamped(maximum)
        self.jitter = jitter
    }

    private static func clamped(_ attempts: Int) -> Int { max(1, attempts) }

    private static func clamped(_ delay: Duration) -> Duration { min(max(delay, .zero), .longest) }

    private static func clamped(_ multiplier: Double) -> Double { multiplier >= 1 ? multiplier : 1 }

    /// Exponential backoff with full jitter: 12 attempts, with delays from 200 ms to 30 s, over 70 s on average and 141 s
    /// at most.
    public static let `default` = RetryPolicy()

    /// No second attempt: what fails goes to the dead letters at once.
    public static let never = RetryPolicy(maxAttempts: 1)

    /// Retries after the same delay every time.
    public static func fixed(_ delay: Duration, maxAttempts: Int) -> RetryPolicy {
        RetryPolicy(maxAttempts: maxAttempts, initial: delay, multiplier: 1, maximum: delay, jitter: false)
    }

    /// What is to happen after a failed attempt.
    package enum Decision: Hashable, Sendable {
        case retry(after: Duration)
        case deadLetter(Failure.Reason)
    }

    /// Decides on the attempt's number, from 1, and its error.
    package func decide(
        attempt: Int,
        error: any Error,
        using generator: inout some RandomNumberGenerator
    ) -> Decision {
        if error is any NonRetryable { return .deadLetter(.nonRetryable) }
        if attempt >= maxAttempts { return .deadLetter(.attemptsExhausted) }
        return .retry(after: delay(afterAttempt: attempt, using: &generator))
    }

    /// The delay after the attempt with this number, from 1.
    package func delay(afterAttempt attempt: Int, using generator: inout some RandomNumberGenerator) -> Duration {
        let bound = bound(afterAttempt: attempt)
        guard jitter else { return bound }
        return bound * Double.random(in: 0...1, using: &generator)
    }

    /// The longest delay after the attempt with this number, from 1.
    package func bound(afterAttempt attempt: Int) -> Duration {
        guard initial > .zero else { return .zero }
        // In floating point a power does not trap: it becomes infinite at worst, and `maximum` bounds it.
        let factor = attempt > 1 ? pow(multiplier, Double(attempt) - 1) : 1
        let seconds = initial.inSeconds * factor
        guard seconds < maximum.inSeconds else { return maximum }
        return .nanoseconds(Int64(seconds * 1e9))
    }
}

extension Duration {
    /// The duration in seconds, with the precision of a `Double`.
    package var inSeconds: Double {
        let (seconds, attoseconds) = clampedToLongest.components
        return Double(seconds) + Double(attoseconds) * 1e-18
    }
}

/// How often a failed delivery is tried again, and after how long.
///
/// The delay before attempt *n + 1* is drawn from zero to `initial × multiplier^(n − 1)`, at most `maximum`: exponential
/// backoff with full jitter (Marc Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015), which
/// spreads the retries of many failing deliveries evenly.
public struct RetryPolicy: Hashable, Sendable {
    /// Attempts in all, the first included; 5 unless stated. 1 means no retry.
    public var maxAttempts: Int
    /// The bound of the first delay; 200 ms unless stated.
    public var initial: Duration
    /// By what the bound grows with each attempt; 2 unless stated.
    public var multiplier: Double
    /// The bound that no delay exceeds; 30 s unless stated.
    public var maximum: Duration
    /// Whether delays are drawn at random; if not, each is its bound.
    public var jitter: Bool

    /// A policy of exponential backoff.
    ///
    /// - Precondition: `maxAttempts` ≥ 1, `multiplier` ≥ 1, and no duration is negative.
    public init(
        maxAttempts: Int = 5,
        initial: Duration = .milliseconds(200),
        multiplier: Double = 2,
        maximum: Duration = .seconds(30),
        jitter: Bool = true
    ) {
        precondition(maxAttempts >= 1, "maxAttempts is \(maxAttempts); there is always a first attempt")
        precondition(multiplier >= 1 && multiplier.isFinite, "multiplier is \(multiplier); delays may not shrink")
        precondition(initial >= .zero && maximum >= .zero, "a delay cannot be negative")
        self.maxAttempts = maxAttempts
        self.initial = initial
        self.multiplier = multiplier
        self.maximum = maximum
        self.jitter = jitter
    }

    /// Exponential backoff with full jitter, 5 attempts from 200 ms to 30 s.
    public static let `default` = RetryPolicy()

    /// No second attempt: what fails goes to the dead letters at once.
    public static let never = RetryPolicy(maxAttempts: 1)

    /// For an event that only a newer release can handle: minutes, as long as a rolling deployment takes.
    package static let newerVersion = RetryPolicy(maxAttempts: 30, initial: .seconds(1), jitter: false)

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
        // Counted in floating point, where the power cannot overflow into a trap.
        var factor = 1.0
        for _ in 1..<max(1, attempt) where factor < 1e12 { factor *= multiplier }
        let seconds = min(initial.inSeconds * factor, maximum.inSeconds)
        return .nanoseconds(Int64(min(seconds * 1e9, 9e18)))
    }
}

extension Duration {
    /// The duration in seconds, with the precision of a `Double`.
    package var inSeconds: Double {
        let (seconds, attoseconds) = clampedToLongest.components
        return Double(seconds) + Double(attoseconds) * 1e-18
    }
}

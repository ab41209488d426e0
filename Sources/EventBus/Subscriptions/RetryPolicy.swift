/// The number of attempts for a failing delivery, and the delays between them.
///
/// The delay before attempt *n + 1* is random between zero and `initial × multiplier^(n − 1)`, at most `maximum`:
/// exponential backoff with full jitter (Marc Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015),
/// which spreads the retries of many failing deliveries evenly.
///
/// The default makes 12 attempts. The delays between the first and the last one add up to 70 s on average and to at
/// most 141 s, which is longer than the restart of a database takes.
///
/// ```swift
/// let patient = RetryPolicy(maximumAttempts: 20, initial: .milliseconds(500), maximum: .seconds(60))
/// ```
///
/// Only attempts whose handler ran and failed count. See <doc:DeliveryOfAnEvent>. Invalid values are clamped when they
/// are set. From the 20th attempt on, no delay is shorter than 10 ms, so that an event that always fails does not occupy
/// a processor.
public struct RetryPolicy: Hashable, Sendable {
    /// The total number of attempts, including the first. 1 means no retry. Smaller values count as 1. Defaults to 12.
    public var maximumAttempts: Int {
        didSet { maximumAttempts = Self.clamped(maximumAttempts) }
    }
    /// The upper bound of the first delay. A negative duration counts as zero. Defaults to 200 ms.
    public var initial: Duration {
        didSet { initial = Self.clamped(initial) }
    }
    /// The factor by which the upper bound grows with each attempt. Values below 1 and NaN count as 1. Defaults to 2.
    public var multiplier: Double {
        didSet { multiplier = Self.clamped(multiplier) }
    }
    /// The maximum of the upper bound. A negative duration counts as zero. No delay is longer than
    /// ``TransportLimits/maximumDelay``. Defaults to 30 s.
    public var maximum: Duration {
        didSet { maximum = Self.clamped(maximum) }
    }
    /// The maximum time from the first failure of an event to its last attempt, or `nil` for any time. A negative
    /// duration counts as zero. Defaults to `nil`.
    ///
    /// If the longest possible delay after an attempt would end later, the attempt is the last one
    /// (``EventContext/isLastAttempt``), and the reason of the dead letter is
    /// ``Failure/Reason/retryTimeExhausted``. With `maximumAttempts: .max`, only the time limits the retries:
    ///
    /// ```swift
    /// let policy = RetryPolicy(maximumAttempts: .max, maximumTime: .seconds(600))
    /// ```
    ///
    /// A delay that a ``RetryLater`` or a ``RetryVerdict`` asks for is shortened to the time that is left, so that the last
    /// attempt is made. To wait longer, throw a ``RetryLater`` whose attempt does not count.
    ///
    /// The time is that of the wall clock, and includes waiting in a queue. If the wall clock is set back to before the
    /// first failure, the time starts again. The failures of a by-key or broadcast subscription are remembered by one
    /// process, which measures their time itself, so that the time starts again in another one.
    public var maximumTime: Duration? {
        didSet { maximumTime = maximumTime.map { Self.clamped($0) } }
    }
    /// A Boolean value indicating whether delays are random. If it is `false`, each delay is its upper bound. Defaults
    /// to `true`.
    public var usesJitter: Bool

    /// Creates a policy of exponential backoff. Omitted values use the defaults, and invalid values are clamped as the
    /// properties describe.
    public init(
        maximumAttempts: Int = 12,
        initial: Duration = .milliseconds(200),
        multiplier: Double = 2,
        maximum: Duration = .seconds(30),
        usesJitter: Bool = true,
        maximumTime: Duration? = nil
    ) {
        self.maximumAttempts = Self.clamped(maximumAttempts)
        self.initial = Self.clamped(initial)
        self.multiplier = Self.clamped(multiplier)
        self.maximum = Self.clamped(maximum)
        self.usesJitter = usesJitter
        self.maximumTime = maximumTime.map { Self.clamped($0) }
    }

    private static func clamped(_ attempts: Int) -> Int { max(1, attempts) }

    private static func clamped(_ delay: Duration) -> Duration { min(max(delay, .zero), .longest) }

    private static func clamped(_ multiplier: Double) -> Double { multiplier >= 1 ? multiplier : 1 }

    /// Exponential backoff with full jitter: 12 attempts with delays of up to 200 ms to 30 s, 70 s in total on average
    /// and 141 s at most.
    public static let `default` = RetryPolicy()

    /// A policy without retries: a failed event becomes a dead letter immediately.
    public static let never = RetryPolicy(maximumAttempts: 1)

    /// Returns a policy that retries after the same delay every time.
    public static func fixed(_ delay: Duration, maximumAttempts: Int, maximumTime: Duration? = nil) -> RetryPolicy {
        RetryPolicy(
            maximumAttempts: maximumAttempts,
            initial: delay,
            multiplier: 1,
            maximum: delay,
            usesJitter: false,
            maximumTime: maximumTime
        )
    }

    /// Returns the delay after the attempt with this number, from 1.
    package func delay(afterAttempt attempt: Int) -> Duration {
        // The thread sanitizer takes an access to the system's generator, which has no size, for one to another variable.
        var generator = SplitMix64(seed: .random(in: .min ... .max))
        return delay(afterAttempt: attempt, using: &generator)
    }

    /// Returns the delay after the attempt with this number, from 1.
    package func delay(afterAttempt attempt: Int, using generator: inout some RandomNumberGenerator) -> Duration {
        let bound = bound(afterAttempt: attempt)
        guard usesJitter else { return bound }
        return max(bound * Double.random(in: 0...1, using: &generator), Self.shortestDelay(afterAttempt: attempt))
    }

    /// Returns the longest delay after the attempt with this number, from 1.
    package func bound(afterAttempt attempt: Int) -> Duration {
        let shortest = Self.shortestDelay(afterAttempt: attempt)
        guard initial > .zero else { return shortest }
        // A floating-point power does not trap. At worst it becomes infinite, and `maximum` bounds it.
        let factor = attempt > 1 ? Platform.power(multiplier, Double(attempt) - 1) : 1
        let seconds = initial.inSeconds * factor
        guard seconds < maximum.inSeconds else { return max(maximum, shortest) }
        return max(.nanoseconds(Int64(seconds * 1e9)), shortest)
    }

    /// Returns the shortest delay after the attempt with this number, which keeps unlimited retries from occupying a
    /// processor.
    static func shortestDelay(afterAttempt attempt: Int) -> Duration { attempt < 20 ? .zero : .milliseconds(10) }
}

extension Duration {
    /// The duration in seconds, with the precision of a `Double`.
    package var inSeconds: Double {
        let (seconds, attoseconds) = clampedToLongest.components
        return Double(seconds) + Double(attoseconds) * 1e-18
    }
}

import EventBus

/// The delay before reconnecting. It uses full jitter, so that a fleet does not reconnect in step.
struct Backoff {
    private let policy: RetryPolicy
    /// The number of consecutive failed attempts.
    private(set) var failures = 0

    init(initial: Duration, maximum: Duration) {
        policy = RetryPolicy(initial: initial, maximum: max(initial, maximum))
    }

    mutating func noteFailure() { failures += 1 }

    mutating func reset() { failures = 0 }

    /// Returns the next delay, which is random.
    func pause() -> Duration { policy.delay(afterAttempt: failures + 1) }

    /// The upper bound of the next delay.
    var ceiling: Duration { policy.bound(afterAttempt: failures + 1) }
}

/// The delay before reconnecting. It uses full jitter (Marc Brooker, "Exponential Backoff And Jitter", AWS Architecture
/// Blog, 2015), so that a fleet does not reconnect in step.
struct Backoff {
    private let initial: Duration
    private let maximum: Duration
    /// The number of consecutive failed attempts.
    private(set) var failures = 0

    init(initial: Duration, maximum: Duration) {
        self.initial = initial
        self.maximum = max(initial, maximum)
    }

    mutating func noteFailure() { failures += 1 }

    mutating func reset() { failures = 0 }

    /// Returns the next delay, which is random.
    func pause(using generator: inout some RandomNumberGenerator) -> Duration {
        ceiling * Double.random(in: 0...1, using: &generator)
    }

    /// The upper bound of the next delay.
    var ceiling: Duration {
        var ceiling = initial
        for _ in 0..<failures where ceiling < maximum { ceiling *= 2 }
        return min(ceiling, maximum)
    }
}

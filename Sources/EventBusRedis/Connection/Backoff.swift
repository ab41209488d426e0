/// How long to pause before a connection is tried again: full jitter (Marc Brooker, "Exponential Backoff And Jitter",
/// AWS Architecture Blog, 2015), so that a fleet does not return in step.
struct Backoff {
    private let initial: Duration
    private let maximum: Duration
    /// How many attempts failed in a row.
    private(set) var failures = 0

    init(initial: Duration, maximum: Duration) {
        self.initial = initial
        self.maximum = max(initial, maximum)
    }

    mutating func noteFailure() { failures += 1 }

    mutating func reset() { failures = 0 }

    /// The next pause, drawn anew each time.
    func pause(using generator: inout some RandomNumberGenerator) -> Duration {
        ceiling * Double.random(in: 0...1, using: &generator)
    }

    /// What the next pause does not exceed.
    var ceiling: Duration {
        var ceiling = initial
        for _ in 0..<failures where ceiling < maximum { ceiling *= 2 }
        return min(ceiling, maximum)
    }
}

/// The share of failures among the latest attempts of a subscription with a ``CircuitBreaker``.
final class FailureRate: Sendable {
    /// The attempts within a tenth of the window.
    private struct Bucket {
        /// The number of the tenth, or -1 if the bucket is empty.
        var number: Int64 = -1
        var attempts = 0
        var failures = 0
    }

    private static let bucketCount = 10

    let breaker: CircuitBreaker
    private let width: Int64
    private let buckets = Locked([Bucket](repeating: Bucket(), count: bucketCount))

    init(_ breaker: CircuitBreaker) {
        self.breaker = breaker
        self.width = max(1, breaker.window.inNanoseconds / Int64(Self.bucketCount))
    }

    /// Records an attempt.
    ///
    /// - Returns: The reason to open the breaker, or `nil`. Attempts recorded so far do not count any more afterwards.
    func note(isFailure: Bool, at now: AnyClock.Instant) -> String? {
        let number = max(0, now.offset.inNanoseconds / width)
        let oldest = number - Int64(Self.bucketCount) + 1
        return buckets.withLock { buckets in
            let index = Int(number % Int64(Self.bucketCount))
            if buckets[index].number != number { buckets[index] = Bucket(number: number) }
            buckets[index].attempts += 1
            guard isFailure else { return nil }
            buckets[index].failures += 1
            var (attempts, failures) = (0, 0)
            for bucket in buckets where bucket.number >= oldest {
                attempts += bucket.attempts
                failures += bucket.failures
            }
            guard attempts >= breaker.minimumAttempts,
                Double(failures) >= Double(attempts) * breaker.failureShare
            else { return nil }
            buckets = [Bucket](repeating: Bucket(), count: Self.bucketCount)
            return "\(failures) of \(attempts) attempts failed within \(breaker.window)"
        }
    }
}

/// The size of the batches of a subscription.
struct Batching: Sendable {
    /// The maximum number of events of a batch.
    let maximumCount: Int
    /// The maximum time for which the first event of a batch waits for others.
    let interval: Duration
    /// The maximum number of batches that are handled concurrently.
    let concurrency: Int

    /// The number of events that are handled concurrently. An invalid one is reported by ``problem(with:)``.
    var deliveries: Int {
        let (product, overflow) = maximumCount.multipliedReportingOverflow(by: concurrency)
        return overflow ? .max : product
    }

    /// Returns a description of the problem with the sizes in combination with `options`, or `nil` if there is none.
    func problem(with options: SubscriptionOptions) -> String? {
        if maximumCount < 1 || concurrency < 1 || deliveries > Int(UInt16.max) {
            return "\(concurrency) concurrent batches of \(maximumCount) events; give 1 or more, and at most "
                + "\(UInt16.max) events in all, because each has a handler that waits for its batch"
        }
        if let prefetch = options.prefetch, prefetch < deliveries {
            return "prefetch \(prefetch), but \(concurrency) concurrent batches of \(maximumCount) events; the "
                + "prefetch is at least \(deliveries), because a batch of fewer events would never be full"
        }
        if interval <= .zero {
            return "batches within \(interval); give the time for which the first event of a batch waits for others"
        }
        if options.publishing == .whenHandled {
            return "publishing .whenHandled, but a batch has no single outcome on which its publishes could depend; "
                + "leave it out, or subscribe to single events"
        }
        return nil
    }
}

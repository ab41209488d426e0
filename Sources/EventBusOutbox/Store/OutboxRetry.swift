package import EventBus

extension RetryPolicy {
    /// Returns the delays between attempts for a topic without a subscription, which grow from a second to `maximum`.
    package static func subscriberWait(maximum: Duration) -> RetryPolicy {
        RetryPolicy(maximumAttempts: .max, initial: min(.seconds(1), maximum), maximum: maximum)
    }
}

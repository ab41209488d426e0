import EventBus
import Metrics

extension SubscriptionOptions {
    /// Returns the options of the service's subscriptions.
    ///
    /// An inbox precedes the database. If a process is killed between its claim and its completion, the broker
    /// redelivers the event. It is checked every 200 ms until the claim ends, and is then handled: the database knows
    /// whether it was recorded, and the mail file whether it was written. While the inbox is unreachable nothing is
    /// sent, and events wait for as long as mail servers usually retry.
    ///
    /// - Parameters:
    ///   - longest: The maximum duration of sending a message.
    static func notifications(
        concurrency: Int,
        longest: Duration,
        inbox: any Inbox
    ) -> SubscriptionOptions {
        let duplicatesSuppressed = Counter(label: "shop.duplicates_suppressed")
        let deduplication = DeduplicationMiddleware(
            inbox: inbox,
            options: InboxOptions(recheckInterval: .milliseconds(200)),
            didSuppress: { _ in duplicatesSuppressed.increment() }
        )
        return SubscriptionOptions(
            concurrency: concurrency,
            // Three days, because a problem that is not the message's fault is no reason to give it up.
            retry: RetryPolicy(maxAttempts: 100_000, initial: .milliseconds(200), maximum: .seconds(5)),
            handlerTimeout: longest + .seconds(8),
            middleware: [deduplication]
        )
    }
}

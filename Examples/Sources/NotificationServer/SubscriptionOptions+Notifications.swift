import EventBus
import Metrics
import ServiceStorage

extension SubscriptionOptions {
    /// Returns the options of the service's subscriptions.
    ///
    /// An inbox precedes the database. If a process is killed between its claim and its completion, the broker
    /// redelivers the event. It is checked every 200 ms until the claim ends, and is then handled: the database knows
    /// whether it was recorded, and the mail file whether it was written. While the inbox is unreachable nothing is
    /// sent.
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
        var options = SubscriptionOptions.outlastingOutages
        options.concurrency = concurrency
        options.handlerTimeout = longest + .seconds(8)
        options.middleware = [deduplication]
        return options
    }
}

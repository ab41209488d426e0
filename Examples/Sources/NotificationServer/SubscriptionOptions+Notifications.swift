import EventBus
import Metrics

extension SubscriptionOptions {
    /// How the service takes its events.
    ///
    /// An inbox stands in front of the database. A process that is killed between its claim and its completion leaves the
    /// event to the broker, which delivers it again; it is looked at every 200 ms until the claim is over, and handled
    /// then: the database knows whether it had been recorded, the mail file whether it had been written. Without the
    /// inbox nothing is sent, and events wait for as long as mail servers use to try.
    ///
    /// - Parameters:
    ///   - longest: How long a message may take, beyond the moment that everything else takes.
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
            // Three days: what is not the message's fault is no reason to give it up.
            retry: RetryPolicy(maxAttempts: 100_000, initial: .milliseconds(200), maximum: .seconds(5)),
            handlerTimeout: longest + .seconds(8),
            middleware: [deduplication]
        )
    }
}

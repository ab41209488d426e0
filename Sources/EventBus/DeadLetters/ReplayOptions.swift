/// The options for replaying dead letters.
///
/// ```swift
/// let count = try await bus.deadLetters(of: "inventory").replayAll(options: ReplayOptions(dryRun: true))
/// ```
public struct ReplayOptions: Hashable, Sendable {
    /// A Boolean value indicating whether dead letters are only counted. Defaults to `false`.
    public var dryRun: Bool
    /// The maximum number of dead letters sent per second, or `nil` for no limit. Defaults to `nil`.
    public var maximumPerSecond: Int?
    /// The queue to which dead letters are sent instead of that of their subscription, or `nil`. Defaults to `nil`.
    ///
    /// Use it for the dead letters of a subscription that has another name now. The other subscription must accept
    /// their topics, because it dead-letters every other event. It is another subscription to inboxes and derived ids, so
    /// that effects which the first one has published already are published again under other ids
    /// (``SubscriptionOptions/derivesEventIDs``).
    public var queue: String?

    /// The maximum number of dead letters that are replayed, or `nil` for no limit. Defaults to `nil`.
    ///
    /// Those after them are not read. A dead letter that cannot be replayed does not count.
    public var limit: Int?

    /// Creates options. Omitted values use the defaults.
    public init(dryRun: Bool = false, maximumPerSecond: Int? = nil, queue: String? = nil, limit: Int? = nil) {
        self.dryRun = dryRun
        self.maximumPerSecond = maximumPerSecond
        self.queue = queue
        self.limit = limit
    }

    /// Checks the values.
    package func validate() throws(EventBusError) {
        if let rate = maximumPerSecond, rate < 1 {
            throw EventBusError(.invalidConfiguration, "maximumPerSecond is \(rate); give at least 1, or nil")
        }
    }
}

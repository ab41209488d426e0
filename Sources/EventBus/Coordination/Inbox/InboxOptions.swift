/// The settings with which a subscription uses its ``Inbox``.
///
/// ```swift
/// var options = SubscriptionOptions(inbox: inbox)
/// options.inboxOptions.retention = .seconds(24 * 3600)
/// ```
public struct InboxOptions: Hashable, Sendable {
    /// The time for which a claim on an event is active without a renewal. Defaults to 30 seconds.
    ///
    /// A claim is renewed while its handler runs, however long that takes, unless the handler ignores its cancellation for
    /// longer than this time. If a process is killed inside a handler, the
    /// event waits for the rest of this time before another consumer handles it. An inbox that takes longer than this to
    /// answer counts as unavailable.
    public var lease: Duration
    /// The time for which a handled event is remembered. It has to exceed the time within which the broker may deliver
    /// a duplicate. Defaults to 7 days.
    public var retention: Duration
    /// The time to wait before asking again about an event that another consumer is handling. Defaults to 1 second.
    ///
    /// The wait does not count as an attempt.
    public var recheckInterval: Duration

    /// Creates options. Omitted values use the defaults.
    public init(
        lease: Duration = .seconds(30),
        retention: Duration = .seconds(7 * 24 * 60 * 60),
        recheckInterval: Duration = .seconds(1)
    ) {
        self.lease = lease
        self.retention = retention
        self.recheckInterval = recheckInterval
    }

    /// A description of the first invalid value, or `nil` if all are valid.
    var validationError: String? {
        if lease <= .zero { return "inboxOptions.lease \(lease); a claim has to last for some time" }
        if retention < lease {
            return "inboxOptions.retention \(retention), which is shorter than the lease of \(lease): a handled event "
                + "would be forgotten before its duplicate arrives"
        }
        if recheckInterval <= .zero {
            return "inboxOptions.recheckInterval \(recheckInterval), which would ask the inbox without a pause"
        }
        return nil
    }

    /// These options with all values clamped to valid ones, for a middleware that cannot report an error.
    var clamped: InboxOptions {
        let lease = min(max(lease, .milliseconds(1)), .longest)
        return InboxOptions(
            lease: lease,
            retention: min(max(retention, lease), .longest),
            recheckInterval: min(max(recheckInterval, .milliseconds(1)), .longest)
        )
    }
}

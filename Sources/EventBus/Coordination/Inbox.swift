/// A store of the events that subscriptions have handled, so that a redelivered event is not handled again.
///
/// A bus delivers at least once. A subscription with an inbox asks it before the handler runs and tells it after:
///
/// 1. ``begin(_:lease:)`` returns `.new`: run the handler and ``renew(_:lease:)`` the claim while it runs, then
///    ``complete(_:retention:)``; if the handler threw, ``abandon(_:)``.
/// 2. It returns `.completed`: acknowledge, the event was handled before.
/// 3. It returns `.inProgress`: another consumer is handling the event; ask again later.
///
/// **What this promises.** An event has exactly one effect only where the effect and the inbox's record are written in
/// one SQL transaction. An inbox in another store suppresses duplicates, but a process that is killed between the effect
/// and the record leaves the effect without its record, and the event is handled once more.
///
/// An event is identified by its topic and its id: two events that share an id but not a topic are both handled.
///
/// Every call returns or throws within bounded time, also when the store does not answer. `InboxConformance` in
/// `EventBusTesting` checks this contract on any implementation.
public protocol Inbox: Sendable {
    /// Claims an event for a subscription, unless the event is completed or another claim on it is in force.
    ///
    /// - Parameters:
    ///   - key: The event and the subscription.
    ///   - lease: How long the claim is in force unless it is renewed; positive.
    /// - Throws: ``EventBusError``: `.unavailable` or `.indeterminate` when the store did not answer;
    ///   `CancellationError`. A subscription pauses on any error, and asks again.
    func begin(_ key: InboxKey, lease: Duration) async throws -> InboxDecision

    /// Extends a claim that is in force: it then ends `lease` from now. Does nothing if the claim is completed.
    ///
    /// - Parameters:
    ///   - claim: A claim returned by ``begin(_:lease:)``.
    ///   - lease: How long the claim is in force from now on unless it is renewed again; positive.
    /// - Throws: ``EventBusError``: `.leaseExpired` when the claim is no longer in force, because it ran out, was
    ///   abandoned, or another took its place. `.unavailable` or `.indeterminate` when the store did not answer.
    func renew(_ claim: InboxClaim, lease: Duration) async throws

    /// Records that the event was handled. Calling it again with the same claim does no harm.
    ///
    /// A claim that ran out can still be completed, unless another one on the event is in force or has completed it:
    /// the effect has taken place, and the record keeps it from taking place again.
    ///
    /// - Parameters:
    ///   - claim: A claim returned by ``begin(_:lease:)``.
    ///   - retention: How long the record is kept; longer than the broker may take to deliver a duplicate.
    /// - Throws: ``EventBusError``: `.leaseExpired` when the claim ran out and another took its place: the event has
    ///   been handled twice, or is about to be. `.unavailable` or `.indeterminate` when the store did not answer.
    func complete(_ claim: InboxClaim, retention: Duration) async throws

    /// Ends a claim, so that the event can be claimed again at once. Does nothing if the claim is not in force.
    ///
    /// - Throws: ``EventBusError``: `.unavailable` or `.indeterminate` when the store did not answer: then the claim
    ///   ends when its lease is over.
    func abandon(_ claim: InboxClaim) async throws
}

/// The answer of an ``Inbox`` to a request for a claim.
public enum InboxDecision: Hashable, Sendable {
    /// The event was claimed: handle it.
    case new(InboxClaim)
    /// The event was handled before.
    case completed
    /// Another claim on the event is in force. It ends after this time unless it is renewed.
    case inProgress(retryAfter: Duration)
}

/// The right to handle an event for a subscription.
public struct InboxClaim: Hashable, Sendable {
    /// The event and the subscription.
    public var key: InboxKey
    /// A number that tells this claim from every other one on the event; a later claim has a greater one.
    public var fence: UInt64

    /// Creates a claim; called by implementations of ``Inbox`` only.
    public init(key: InboxKey, fence: UInt64) {
        self.key = key
        self.fence = fence
    }
}

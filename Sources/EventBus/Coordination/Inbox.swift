/// Remembers which events a subscription has handled, so that one that is delivered again is not handled again.
///
/// A bus delivers at least once. A subscription with an inbox asks it before the handler runs and tells it after:
///
/// 1. ``begin(_:subscription:lease:)`` → `.new`: run the handler, then ``complete(_:retention:)``; if it threw,
///    ``abandon(_:)``.
/// 2. → `.completed`: acknowledge, there is nothing to do.
/// 3. → `.inProgress`: someone handles it right now; look again later.
///
/// **What this promises.** An event has exactly one effect only where the effect and the inbox's record are written in
/// one SQL transaction. An inbox in another store suppresses duplicates, but a process that is killed between the effect
/// and the record leaves the effect without its record, and the event is handled once more. Nor can it stop a handler
/// that runs for longer than its lease: choose a lease longer than the handler's timeout.
///
/// Every call returns or throws within bounded time, also when the store does not answer. `InboxConformance` in
/// `EventBusTesting` checks this contract on any implementation.
public protocol Inbox: Sendable {
    /// Claims an event for a subscription, unless it is completed or another claim on it is in force.
    ///
    /// - Parameters:
    ///   - id: the event.
    ///   - subscription: the subscription's queue, `GROUP.NAME`; each has records of its own.
    ///   - lease: how long the claim is in force if nothing more is heard of the claimant; positive.
    /// - Throws: ``EventBusError``: `.unavailable` or `.indeterminate` when the store did not answer;
    ///   `CancellationError`.
    func begin(_ id: EventID, subscription: String, lease: Duration) async throws -> InboxDecision

    /// Records that the event was handled. Calling it again with the same claim does no harm.
    ///
    /// A claim that ran out is still good for this, unless another one on the event is in force or has completed it:
    /// the effect has taken place, and the record keeps it from taking place again.
    ///
    /// - Parameters:
    ///   - claim: what ``begin(_:subscription:lease:)`` gave out.
    ///   - retention: how long the record is kept; longer than the broker may take to deliver a duplicate.
    /// - Throws: ``EventBusError``: `.leaseExpired` when the claim ran out and another took its place: the event has
    ///   been handled twice, or is about to be. `.unavailable` or `.indeterminate` when the store did not answer.
    func complete(_ claim: InboxClaim, retention: Duration) async throws

    /// Gives a claim up, so that the event can be claimed again at once. Does nothing if the claim is not in force.
    ///
    /// - Throws: ``EventBusError``: `.unavailable` or `.indeterminate` when the store did not answer: then the claim
    ///   ends when its lease is over.
    func abandon(_ claim: InboxClaim) async throws
}

/// What an ``Inbox`` says about an event.
public enum InboxDecision: Hashable, Sendable {
    /// The event is yours to handle.
    case new(InboxClaim)
    /// It was handled before.
    case completed
    /// Another claim on it is in force, which ends after this time if nothing more is heard of the claimant.
    case inProgress(retryAfter: Duration)
}

/// The right to handle an event for a subscription.
public struct InboxClaim: Hashable, Sendable {
    /// The event.
    public var eventID: EventID
    /// The subscription's queue, `GROUP.NAME`.
    public var subscription: String
    /// Tells this claim from every other one on the event; a later claim has a greater one.
    public var fence: UInt64

    /// A claim; made by implementations of ``Inbox`` only.
    public init(eventID: EventID, subscription: String, fence: UInt64) {
        self.eventID = eventID
        self.subscription = subscription
        self.fence = fence
    }
}

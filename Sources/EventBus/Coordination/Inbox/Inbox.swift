/// A store of the events that subscriptions have handled, so that a redelivered event is not handled again.
///
/// ```swift
/// bus.subscribe(to: OrderCreated.self, group: "billing", options: .init(inbox: inbox)) { order, context in
///     try await charge(order)
/// }
/// ```
///
/// A bus delivers at least once. A subscription with an inbox consults it before and after the handler:
///
/// 1. If ``begin(_:lease:)`` returns `.new`, the handler runs, and the claim is renewed by ``renew(_:lease:)``
///    meanwhile. Then ``complete(_:retention:)`` is called, or ``abandon(_:)`` if the handler threw.
/// 2. If it returns `.completed` or `.completedWithOtherPayload`, the event was handled before and is acknowledged.
/// 3. If it returns `.inProgress`, another consumer is handling the event, and the subscription asks again later.
///
/// **Guarantee.** An event has exactly one effect only if the effect and the inbox's record are written in one SQL
/// transaction. An inbox in another store suppresses duplicates. But if a process is killed between the effect and the
/// record, the effect has no record and the event is handled again.
///
/// An event is identified by its topic and its id: two events with the same id and different topics are both handled.
/// A peer that may publish to the topic can claim the id of another event first, if the id can be guessed, and the
/// genuine event is then suppressed. The inbox compares payloads, so such an event is logged as a warning and counted apart, as
/// `eventbus.duplicates_conflicting`. It is not handled, because nothing tells which of the two is genuine. To prevent
/// it, use ids that cannot be guessed, signed payloads, or topic permissions with one publisher for each topic.
///
/// Every call returns or throws within bounded time, even if the store does not answer. `InboxConformance` in
/// `EventBusTesting` checks this contract.
public protocol Inbox: Sendable {
    /// Claims an event for a subscription, unless the event is completed or another claim on it is active.
    ///
    /// - Parameters:
    ///   - key: The event and the subscription.
    ///   - lease: The time for which the claim is active without a renewal. It must be positive.
    /// - Throws: ``EventBusError``: `.unavailable` or `.indeterminate` if the store did not answer;
    ///   `CancellationError`. After any error the subscription asks for an event that does not exist. If that fails
    ///   too, it pauses and asks again. Otherwise the error delays only its own event
    ///   (``Failure/Reason/inboxFailed``).
    func begin(_ key: InboxKey, lease: Duration) async throws -> InboxDecision

    /// Extends an active claim, which then ends `lease` from now. Has no effect if the claim is completed.
    ///
    /// A subscription calls it from tasks. Handlers that block all threads on which tasks run hold up the renewals of their
    /// claims. The inboxes on Redis and PostgreSQL renew claims on the threads of their connections instead.
    ///
    /// - Parameters:
    ///   - claim: A claim returned by ``begin(_:lease:)``.
    ///   - lease: The time from now for which the claim is active without another renewal. It must be positive.
    /// - Throws: ``EventBusError``: `.leaseExpired` if the claim is no longer active, because it expired, was
    ///   abandoned, or was replaced by another one; `.unavailable` or `.indeterminate` if the store did not answer.
    func renew(_ claim: InboxClaim, lease: Duration) async throws

    /// Records that the event was handled. Calling it again with the same claim has no effect.
    ///
    /// An expired claim can still be completed, unless another claim on the event is active or has completed it. The
    /// effect has taken place, and the record prevents it from taking place again.
    ///
    /// - Parameters:
    ///   - claim: A claim returned by ``begin(_:lease:)``.
    ///   - retention: The time for which the record is kept. It has to exceed the time within which the broker may
    ///     deliver a duplicate.
    /// - Throws: ``EventBusError``: `.leaseExpired` if the claim expired and another one replaced it, so that the event
    ///   has been handled twice or is about to be; `.unavailable` or `.indeterminate` if the store did not answer.
    func complete(_ claim: InboxClaim, retention: Duration) async throws

    /// Ends a claim, so that the event can be claimed again immediately. Has no effect if the claim is not active.
    ///
    /// - Throws: ``EventBusError``: `.unavailable` or `.indeterminate` if the store did not answer. The claim then ends
    ///   with its lease.
    func abandon(_ claim: InboxClaim) async throws
}

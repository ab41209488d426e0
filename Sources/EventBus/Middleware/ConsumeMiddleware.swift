/// A step that every delivery passes through on its way to the handler.
public protocol ConsumeMiddleware: EventMiddleware {
    /// The step as it serves one subscription: called once for each, the place to prepare what is the same for every
    /// delivery.
    func prepared(for subscription: SubscriptionInfo) -> any ConsumeMiddleware

    /// Handles one attempt at one delivery: call `next` to go on to the handler. Returning means handled, throwing
    /// means failed, as for a handler.
    func consume(_ context: EventContext, next: ConsumeNext) async throws

    /// Notes what became of a delivery; called once for each, also for one that never came to a handler, and before
    /// that for each attempt after which the delivery is held for the next one (``SettledDelivery/isHeld``).
    func didSettle(_ delivery: SettledDelivery)

    /// Notes that a handler has passed its time limit and was cancelled; called once for each such attempt.
    ///
    /// The handler may still run, and occupies its place among the subscription's concurrent handlers until it ends.
    /// Return soon: the task that watches the time limits of all handlers makes the call.
    func didTimeOut(_ context: EventContext)
}

extension ConsumeMiddleware {
    /// Itself.
    public func prepared(for subscription: SubscriptionInfo) -> any ConsumeMiddleware { self }

    /// Nothing to note.
    public func didSettle(_ delivery: SettledDelivery) {}

    /// Nothing to note.
    public func didTimeOut(_ context: EventContext) {}
}

/// A step that only notes what was settled: it is left out of the way to the handler, where every step costs time.
package protocol SettlementObserver: ConsumeMiddleware {}

extension SettlementObserver {
    /// Goes on to the handler.
    public func consume(_ context: EventContext, next: ConsumeNext) async throws { try await next(context) }
}

/// The rest of a delivery's way to its handler: call it as a function. It may be passed on to child tasks.
public struct ConsumeNext: Sendable {
    private let body: @Sendable (EventContext) async throws -> Void

    package init(_ body: @escaping @Sendable (EventContext) async throws -> Void) {
        self.body = body
    }

    /// Goes on to the handler; returns when it has handled the event, throws what it throws.
    public func callAsFunction(_ context: EventContext) async throws {
        try await body(context)
    }
}

/// What is the same for every delivery of a subscription.
public struct SubscriptionInfo: Hashable, Sendable {
    /// The group.
    public let group: String
    /// The subscription's name within the group.
    public let name: String
    /// The topics or patterns, for labels: bounded, whatever topics arrive.
    public let pattern: String

    /// The name of the subscription's queue, `GROUP.NAME`.
    public var queueName: String { "\(group).\(name)" }

    package init(group: String, name: String, pattern: String) {
        self.group = group
        self.name = name
        self.pattern = pattern
    }
}

/// A delivery and what became of it.
public struct SettledDelivery: Sendable {
    let delivery: Delivery
    /// The number of the last attempt made.
    public let attempt: Int
    /// What became of it.
    public let disposition: Disposition
    /// Whether it is held in this process for its next attempt, and so not settled yet: by-key and broadcast
    /// subscriptions do that.
    public let isHeld: Bool
    /// The subscription it came to.
    public let subscription: SubscriptionInfo
    package let logger: BusLogger

    /// The event.
    public var envelope: Envelope { delivery.envelope }
}

/// A step that every delivery passes through on its way to the handler.
///
/// ```swift
/// struct TenantFilter: ConsumeMiddleware {
///     func consume(_ context: EventContext, next: ConsumeNext) async throws {
///         guard context.headers["tenant"] == "acme" else { return }  // Acknowledged without being handled.
///         try await next(context)
///     }
/// }
/// ```
public protocol ConsumeMiddleware: EventMiddleware {
    /// Returns the step that serves one subscription. It is called once for each subscription, to prepare everything
    /// that is the same for all deliveries.
    func prepared(for subscription: SubscriptionInfo) -> any ConsumeMiddleware

    /// Handles one attempt at a delivery. Call `next` to proceed to the handler. Returning means success and throwing
    /// means failure, as for a handler.
    func consume(_ context: EventContext, next: ConsumeNext) async throws

    /// Observes the outcome of a delivery. It is called once for each delivery, even if no handler ran. Before that, it
    /// is called for each attempt after which the delivery is held for the next one (``SettledDelivery/isHeld``).
    func didSettle(_ delivery: SettledDelivery)

    /// Observes that a handler has exceeded its time limit and was cancelled. It is called once for each such attempt.
    ///
    /// The handler may still be running, and counts as one of the subscription's concurrent handlers until it ends.
    /// Return quickly, because the task that watches the time limits of all handlers makes the call.
    func didTimeOut(_ context: EventContext)
}

extension ConsumeMiddleware {
    /// Returns itself.
    public func prepared(for subscription: SubscriptionInfo) -> any ConsumeMiddleware { self }

    /// Does nothing.
    public func didSettle(_ delivery: SettledDelivery) {}

    /// Does nothing.
    public func didTimeOut(_ context: EventContext) {}
}

/// A step that only observes settled deliveries. It is left out of the chain to the handler, where every step takes
/// time.
package protocol SettlementObserver: ConsumeMiddleware {}

extension SettlementObserver {
    /// Calls the handler.
    public func consume(_ context: EventContext, next: ConsumeNext) async throws { try await next(context) }
}

/// The remaining steps of a delivery, followed by its handler. Call it as a function. It may be passed to child tasks.
///
/// A test of a middleware creates one from a closure:
///
/// ```swift
/// try await TenantFilter().consume(context, next: ConsumeNext { _ in print("handled") })
/// ```
public struct ConsumeNext: Sendable {
    private let body: @Sendable (EventContext) async throws -> Void

    /// Creates the rest of a chain from a closure.
    public init(_ body: @escaping @Sendable (EventContext) async throws -> Void) {
        self.body = body
    }

    /// Proceeds to the handler. Returns when the handler has returned, and throws its error.
    public func callAsFunction(_ context: EventContext) async throws {
        try await body(context)
    }
}

/// The properties that are the same for every delivery of a subscription.
public struct SubscriptionInfo: Hashable, Sendable {
    /// The group.
    public let group: String
    /// The subscription's name within the group.
    public let name: String
    /// The topics or patterns, for metric labels. Their number is bounded, whatever topics arrive.
    public let pattern: String

    /// The name of the subscription's queue, `GROUP.NAME`.
    public var queueName: String { "\(group).\(name)" }

    package init(group: String, name: String, pattern: String) {
        self.group = group
        self.name = name
        self.pattern = pattern
    }
}

/// A delivery and its outcome.
public struct SettledDelivery: Sendable {
    let delivery: Delivery
    /// The number of the last attempt.
    public let attempt: Int
    /// The outcome.
    public let disposition: Disposition
    /// A Boolean value indicating whether the delivery is held in this process for its next attempt, and is therefore
    /// not settled yet. By-key and broadcast subscriptions hold deliveries.
    public let isHeld: Bool
    let settler: DeliverySettler

    /// The subscription of the delivery.
    public var subscription: SubscriptionInfo { settler.subscription }

    package var logger: BusLogger { settler.environment.logger }

    /// The event.
    public var envelope: Envelope { delivery.envelope }
}

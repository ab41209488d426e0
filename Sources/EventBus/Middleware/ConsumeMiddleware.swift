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
///
/// A step that is also a ``DeliveryObserver`` observes the outcomes of the deliveries.
public protocol ConsumeMiddleware: EventMiddleware {
    /// Returns the step that serves one subscription. It is called once for each subscription, to prepare everything
    /// that is the same for all deliveries. The returned step also observes, if it is a ``DeliveryObserver``.
    func prepared(for subscription: SubscriptionInfo) -> any ConsumeMiddleware

    /// Handles one attempt at a delivery. Call `next` to proceed to the handler. Returning means success and throwing
    /// means failure, as for a handler.
    func consume(_ context: EventContext, next: ConsumeNext) async throws
}

extension ConsumeMiddleware {
    /// Returns itself.
    public func prepared(for subscription: SubscriptionInfo) -> any ConsumeMiddleware { self }
}

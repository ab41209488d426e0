public import EventBus

extension SettledDelivery {
    /// Creates the outcome of a delivery, for a test of a middleware's
    /// ``/EventBus/DeliveryObserver/didSettle(_:)``.
    ///
    /// ```swift
    /// let context = try EventContext(handling: order, attempt: 3)
    /// counter.didSettle(SettledDelivery(of: context, as: .acknowledged))
    /// ```
    ///
    /// - Parameters:
    ///   - context: The context of the last attempt.
    ///   - disposition: The outcome.
    ///   - isHeld: A Boolean value indicating whether the delivery is held for the next attempt.
    public init(of context: EventContext, as disposition: Disposition, isHeld: Bool = false) {
        self.init(detached: context, disposition: disposition, isHeld: isHeld)
    }
}

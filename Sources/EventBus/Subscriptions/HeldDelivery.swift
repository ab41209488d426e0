/// A delivery in the hands of a worker, between its attempts.
struct HeldDelivery: Sendable {
    let delivery: Delivery
    /// The number of the next attempt.
    var attempt: Int
    /// How long to wait before it.
    var delay: Duration?
    /// When the first attempt failed, by the bus's clock.
    var since: AnyClock.Instant?
    /// When the first attempt failed, by the wall clock.
    var firstFailure: EventTime?

    init(_ delivery: Delivery) {
        self.delivery = delivery
        self.attempt = delivery.attempt
    }

    /// A failure with the time of the first one, which only this process knows.
    func dated(_ disposition: Disposition) -> Disposition {
        guard case .deadLettered(var failure) = disposition, let firstFailure else { return disposition }
        failure.firstFailure = firstFailure
        return .deadLettered(failure)
    }
}

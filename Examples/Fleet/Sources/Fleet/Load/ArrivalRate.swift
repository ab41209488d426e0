/// The schedule of the orders.
struct ArrivalRate: Sendable {
    /// The number of orders per second, or `nil` for the maximum.
    var rate: Double?
    let start: ContinuousClock.Instant

    /// Returns the time at which the order with this number, from 0, is due.
    func due(_ index: Int) -> ContinuousClock.Instant {
        guard let rate else { return start }
        return start + .seconds(Double(index) / rate)
    }
}

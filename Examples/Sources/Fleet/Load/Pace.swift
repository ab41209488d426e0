/// When the orders are due.
struct Pace: Sendable {
    /// Orders a second; `nil` for as many as can be.
    var rate: Double?
    let start: ContinuousClock.Instant

    /// When the order with this number, from 0, is due.
    func due(_ index: Int) -> ContinuousClock.Instant {
        guard let rate else { return start }
        return start + .seconds(Double(index) / rate)
    }
}

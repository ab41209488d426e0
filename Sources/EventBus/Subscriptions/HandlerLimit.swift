/// The limit on the duration of a subscription's handlers.
enum HandlerLimit: Sendable {
    /// The limit of the options.
    case own(Duration)
    /// The time after the arrival of a delivery at which its handler has to end, because the broker would otherwise deliver
    /// it again while it is handled.
    case broker(age: Duration, consumerTimeout: Duration)
    case none

    /// Creates the limit of a subscription.
    ///
    /// - Parameters:
    ///   - own: The limit of the options.
    ///   - consumerTimeout: The time for which the broker waits for a settlement, or `nil` for any time.
    init(own: Duration?, consumerTimeout: Duration?) {
        if let own {
            self = .own(own)
        } else if let consumerTimeout, consumerTimeout < .longest {
            // The rest is for a cancelled handler to end, and for the settlement.
            self = .broker(age: consumerTimeout - consumerTimeout / 10, consumerTimeout: consumerTimeout)
        } else {
            self = .none
        }
    }

    /// The longest duration of a handler, or `nil` for any.
    var longest: Duration? {
        switch self {
        case .own(let limit): limit
        case .broker(let age, _): age
        case .none: nil
        }
    }

    /// Returns the limit for a handler that starts with a delivery, or `nil` for none.
    func duration(for tracked: TrackedDelivery, at now: @autoclosure () -> AnyClock.Instant) -> Duration? {
        switch self {
        case .own(let limit): limit
        case .broker(let age, let consumerTimeout):
            // A delivery that has waited nearly as long is first returned to the broker, unless the time for retries is
            // unusually long.
            max(age - tracked.arrival.duration(to: now()), consumerTimeout / 20)
        case .none: nil
        }
    }

    /// The end of a sentence about a handler that took longer.
    var description: String {
        switch self {
        case .own(let limit): "its limit of \(limit)"
        case .broker(_, let consumerTimeout): "the broker's consumer timeout of \(consumerTimeout) allows"
        case .none: "its limit"
        }
    }
}

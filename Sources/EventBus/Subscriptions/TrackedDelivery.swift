/// A delivery in a subscription, with what this process knows of it.
struct TrackedDelivery: Sendable {
    let delivery: Delivery
    /// When it arrived, by the bus's clock; offset zero where the subscription does not watch ages.
    var arrival: AnyClock.Instant
    /// When the event arrived for the first time, if it was returned with its consumer's channel since; the time for
    /// retries counts from here.
    var firstArrival: AnyClock.Instant
    /// The number of the next attempt.
    var attempt: Int
    /// The wall-clock time at which the first attempt of this process failed.
    var firstFailure: EventTime?
    /// How long the event has been deferred since its last attempt.
    var deferredFor: Duration
    /// Whether it is the one delivery that asks the inbox while its subscription is paused.
    var isProbe = false
    /// How many of the delivery's redeliveries are the doing of this subscription, and say nothing of the event.
    var innocentRedeliveries = 0

    init(_ delivery: Delivery, arrival: AnyClock.Instant) {
        self.delivery = delivery
        self.arrival = arrival
        self.firstArrival = arrival
        self.attempt = delivery.attempt
        self.deferredFor = delivery.deferredFor
    }

    /// Whether no attempt has failed in this process.
    var isUntried: Bool { firstFailure == nil }

    /// How often the event was redelivered for a reason that may be its own.
    var suspiciousRedeliveries: Int { delivery.redeliveries - innocentRedeliveries }

    /// A failure with the time of the first one, which only this process knows.
    func dated(_ disposition: Disposition) -> Disposition {
        guard case .deadLettered(var failure) = disposition, let firstFailure else { return disposition }
        failure.firstFailure = firstFailure
        return .deadLettered(failure)
    }

    /// Takes over what was known of the event before its channel was reopened.
    mutating func resume(_ earlier: TrackedDelivery) {
        attempt = max(attempt, earlier.attempt)
        deferredFor = earlier.deferredFor
        if !earlier.isUntried {
            firstFailure = earlier.firstFailure
            firstArrival = earlier.firstArrival
        }
        let added = max(0, delivery.redeliveries - earlier.delivery.redeliveries)
        innocentRedeliveries = min(delivery.redeliveries, earlier.innocentRedeliveries + min(1, added))
    }
}

/// What tells one event from another: ids are unique for each topic.
struct EventIdentity: Hashable, Sendable {
    let id: EventID
    let topic: Topic

    init(_ envelope: Envelope) {
        id = envelope.id
        topic = envelope.topic
    }
}

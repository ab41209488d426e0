/// A delivery in a subscription, with the local state of its event.
struct TrackedDelivery: Sendable {
    var delivery: Delivery
    /// The arrival time by the bus's clock, or offset zero if the subscription does not watch ages.
    var arrival: AnyClock.Instant
    /// The time of the event's first arrival, if it was returned with its consumer's channel since. The time for
    /// retries counts from here.
    var firstArrival: AnyClock.Instant
    /// The time up to which pauses have extended the time for retries, or the arrival.
    var extendedUntil: AnyClock.Instant
    /// The number of the next attempt.
    var attempt: Int
    /// The wall-clock time at which the first attempt in this process failed.
    var firstFailure: EventTime?
    /// The same time by the bus's clock, which nobody sets back.
    private(set) var firstFailureInstant: AnyClock.Instant?
    /// A Boolean value indicating whether its handler has run in this process.
    private(set) var hasRun = false
    /// The total time for which the event has been deferred since its last attempt.
    var deferredFor: Duration
    /// The time until which it was last held for the next attempt. The whole time counts as deferred from the beginning.
    var heldUntil: AnyClock.Instant?
    /// A Boolean value indicating whether it is the delivery that probes while its subscription is paused.
    var isProbe = false
    /// The number of redeliveries that this subscription caused and that say nothing about the event.
    var innocentRedeliveries = 0

    init(_ delivery: Delivery, arrival: AnyClock.Instant) {
        self.delivery = delivery
        self.arrival = arrival
        self.firstArrival = arrival
        self.extendedUntil = arrival
        self.attempt = delivery.attempt
        self.deferredFor = delivery.deferredFor
    }

    /// Removes the rest of the time for which it is held from the total deferral, because it comes again before.
    mutating func endHold(at now: AnyClock.Instant) {
        if let heldUntil, heldUntil > now { deferredFor = max(.zero, deferredFor - now.duration(to: heldUntil)) }
        heldUntil = nil
    }

    /// Extends the time for retries by the part of a pause that the event has seen and that has not extended it before.
    mutating func extend(byPauseSince start: AnyClock.Instant, until now: AnyClock.Instant) {
        let paused = max(start, extendedUntil).duration(to: now)
        if paused > .zero { firstArrival = firstArrival.advanced(by: paused) }
        extendedUntil = max(extendedUntil, now)
    }

    /// Records that an attempt has failed in this process.
    mutating func noteFailure(_ clock: AnyClock) {
        noteRun()
        if firstFailure != nil { return }
        firstFailure = clock.wallTime
        firstFailureInstant = clock.now
    }

    /// Records that its handler has run, and that the attempt does not count.
    mutating func noteRun() { hasRun = true }

    /// A Boolean value indicating whether its handler has not run in this process.
    var isUntried: Bool { !hasRun && firstFailure == nil }

    /// The number of redeliveries that the event itself may have caused.
    var suspiciousRedeliveries: Int { delivery.redeliveries - innocentRedeliveries }

    /// Adds the time of the first failure, which only this process knows, to a failure.
    func dated(_ disposition: Disposition) -> Disposition {
        guard case .deadLettered(var failure) = disposition, let firstFailure else { return disposition }
        failure.firstFailure = firstFailure
        return .deadLettered(failure)
    }

    /// Returns a Boolean value indicating whether the event was only returned since `earlier`. Otherwise another instance
    /// may have handled it.
    func follows(_ earlier: TrackedDelivery) -> Bool {
        let added = delivery.redeliveries - earlier.delivery.redeliveries
        return delivery.attempt == earlier.delivery.attempt && (added == 0 || added == 1)
    }

    /// Takes over the state of the event before its channel was closed or reopened.
    mutating func resume(_ earlier: TrackedDelivery) {
        attempt = max(attempt, earlier.attempt)
        deferredFor = earlier.deferredFor
        heldUntil = earlier.heldUntil
        if !earlier.isUntried {
            hasRun = true
            firstFailure = earlier.firstFailure
            firstFailureInstant = earlier.firstFailureInstant
            firstArrival = earlier.firstArrival
            extendedUntil = earlier.extendedUntil
        }
        let added = max(0, delivery.redeliveries - earlier.delivery.redeliveries)
        innocentRedeliveries = min(delivery.redeliveries, earlier.innocentRedeliveries + min(1, added))
    }
}

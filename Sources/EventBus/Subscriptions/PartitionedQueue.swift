import DequeModule

/// The deliveries of a subscription and the order in which they may be handled. It is a state machine without locks
/// that never waits.
///
/// Without keys, deliveries are handled in the order of arrival. By key, those of one key are handled one at a time,
/// each after the previous one is finished. A delivery that is held for a retry keeps its key, but does not count as
/// running or as running alone.
///
/// A delivery that the broker has redelivered ``aloneAfterRedeliveries`` times may be crashing the process, so it is
/// handled alone and takes no others down with it. If there are several such suspects, the next one is picked at random
/// on every redelivery. Otherwise a delivery that crashes the process could always precede the same innocent ones, and
/// they would reach the delivery limit with it.
///
/// A delivery whose handler ignores its cancellation is abandoned: nothing but the next one of its key waits for it.
struct PartitionedQueue {
    /// The deliveries that may start.
    enum Gate {
        /// All deliveries may start.
        case open
        /// Only the next delivery may start, and it closes the gate.
        case probe
        /// No delivery may start.
        case closed
    }

    /// The number of redeliveries after which a delivery is handled alone.
    static let aloneAfterRedeliveries = RedeliveryLimits.alone

    private let byKey: Bool
    private var ready: Deque<TrackedDelivery> = []
    /// The deliveries that wait behind another one of their key, for each key in progress.
    private var lanes: [ExactString: Deque<TrackedDelivery>] = [:]
    /// The deliveries that wait for a retry, each at the head of its key.
    private var held: [Delivery.Token: TrackedDelivery] = [:]
    /// The known state of events whose channel was reopened, until they are redelivered.
    private var known: [ArrivalKey: TrackedDelivery] = [:]
    /// The known state of events that an earlier session of the subscription has returned, until they are redelivered.
    private var inherited: [ArrivalKey: TrackedDelivery] = [:]
    /// The number of deliveries that are being handled.
    private(set) var running = 0
    /// Those of them that are abandoned, and whether the next delivery of their key waits for them.
    private var abandoned: [Delivery.Token: Bool] = [:]
    /// The delivery that probes while the subscription is paused.
    private var probe: Delivery.Token?
    private var runsAlone = false
    /// A Boolean value indicating whether nothing may start until the channel is reopened.
    private(set) var isPaused = false
    /// The deliveries that may start while the subscription is paused.
    var gate = Gate.open
    private(set) var isClosed = false

    init(byKey: Bool) {
        self.byKey = byKey
    }

    /// The number of deliveries that wait to be handled.
    var waiting: Int { ready.count + lanes.values.reduce(0) { $0 + $1.count } }

    /// The number of deliveries that are being handled and are not abandoned.
    var active: Int { running - abandoned.count }

    /// The number of deliveries that wait for a retry.
    var heldCount: Int { held.count }

    /// Stores a delivery. One that arrives after the close is left to the broker.
    mutating func receive(_ delivery: Delivery, at now: AnyClock.Instant) {
        guard !isClosed else { return }
        var tracked = TrackedDelivery(delivery, arrival: now)
        if !known.isEmpty, let earlier = known.removeValue(forKey: ArrivalKey(delivery)) {
            tracked.resume(earlier)
        } else if !inherited.isEmpty, let earlier = inherited.removeValue(forKey: ArrivalKey(delivery)),
            tracked.follows(earlier)
        {
            tracked.resume(earlier)
        }
        if byKey, let key = delivery.envelope.exactPartitionKey {
            if lanes[key] != nil {
                lanes[key]?.append(tracked)
                return
            }
            lanes[key] = []
        }
        ready.append(tracked)
    }

    /// The number of deliveries that may be taken now, each by one worker.
    var takeable: Int {
        guard !runsAlone, !isPaused, gate != .closed, !ready.isEmpty else { return 0 }
        if isSuspect(ready[ready.startIndex]) { return active == 0 ? 1 : 0 }
        return gate == .probe ? 1 : ready.count
    }

    /// Returns the next delivery that may be handled now, if there is one. Call ``finish(_:)``, ``hold(_:)`` or
    /// ``putBack(_:)`` afterwards.
    mutating func take() -> TrackedDelivery? {
        guard takeable > 0 else { return nil }
        if ready.count > 1, isSuspect(ready[ready.startIndex]) { bringForwardSuspect() }
        var next = ready.removeFirst()
        if gate == .probe {
            gate = .closed
            next.isProbe = true
            probe = next.delivery.token
        }
        runsAlone = isSuspect(next)
        running += 1
        return next
    }

    private func isSuspect(_ tracked: TrackedDelivery) -> Bool {
        tracked.suspiciousRedeliveries >= Self.aloneAfterRedeliveries
    }

    /// Moves one suspect to the front, picked by the numbers of the suspects and their redelivery counts.
    private mutating func bringForwardSuspect() {
        func draw(_ delivery: Delivery) -> UInt64 {
            var generator = SplitMix64(seed: delivery.token.number ^ UInt64(delivery.redeliveries) << 40)
            return generator.next()
        }
        let suspects = ready.indices.filter { isSuspect(ready[$0]) }
        guard let chosen = suspects.min(by: { draw(ready[$0].delivery) < draw(ready[$1].delivery) }) else { return }
        ready.swapAt(ready.startIndex, chosen)
    }

    /// Records that a delivery was settled or no longer belongs to the subscription. The delivery behind it may follow.
    mutating func finish(_ delivery: Delivery) {
        if end(delivery.token) { leave(delivery.envelope.exactPartitionKey) }
    }

    /// Records that a delivery is not being handled any more.
    ///
    /// - Returns: `true` if the next delivery of its key waits for it.
    @discardableResult
    private mutating func end(_ token: Delivery.Token) -> Bool {
        running -= 1
        // Another one may run alone meanwhile.
        if !abandoned.isEmpty, let keepsKey = abandoned.removeValue(forKey: token) { return keepsKey }
        runsAlone = false
        return true
    }

    /// Keeps a delivery that was taken for its next attempt. Only its key waits with it.
    mutating func hold(_ tracked: TrackedDelivery) {
        end(tracked.delivery.token)
        held[tracked.delivery.token] = tracked
    }

    /// Allows a held delivery to be taken again.
    ///
    /// - Returns: `true` if it was held.
    mutating func release(_ token: Delivery.Token) -> Bool {
        guard let tracked = held.removeValue(forKey: token) else { return false }
        ready.append(tracked)
        return true
    }

    func isHeld(_ token: Delivery.Token) -> Bool { held[token] != nil }

    /// Undoes a ``take()``.
    mutating func putBack(_ tracked: TrackedDelivery) {
        end(tracked.delivery.token)
        if probe == tracked.delivery.token { probe = nil }
        var tracked = tracked
        tracked.isProbe = false
        ready.prepend(tracked)
    }

    /// Removes the head of a key, so that the next delivery of the key may be taken.
    private mutating func leave(_ key: ExactString?) {
        guard byKey, let key else { return }
        if let next = lanes[key]?.popFirst() {
            ready.append(next)
        } else {
            lanes[key] = nil
        }
    }

    // MARK: Abandoning

    /// Ignores a delivery that is being handled, except that its key waits for it.
    mutating func abandon(_ delivery: Delivery) {
        guard abandoned[delivery.token] == nil else { return }
        abandoned[delivery.token] = true
        runsAlone = false
    }

    func isAbandoned(_ delivery: Delivery) -> Bool { abandoned[delivery.token] != nil }

    /// Lets the next delivery of its key follow an abandoned one.
    mutating func leaveKey(ofAbandoned delivery: Delivery) {
        guard abandoned[delivery.token] == true else { return }
        abandoned[delivery.token] = false
        leave(delivery.envelope.exactPartitionKey)
    }

    /// Ends the probe of a delivery.
    ///
    /// - Returns: `true` if it was the one that probes, so that the caller has to report the outcome.
    mutating func endProbe(_ token: Delivery.Token) -> Bool {
        guard probe == token else { return false }
        probe = nil
        return true
    }

    /// Removes all deliveries that wait or are held, and stores their known state and that of `taken`, which is being
    /// handled, for their redelivery.
    ///
    /// - Returns: The deliveries and `taken`, in the order in which the broker has delivered them.
    mutating func takeAll(with taken: TrackedDelivery?, at now: AnyClock.Instant) -> [TrackedDelivery] {
        var all = taken.map { [$0] } ?? []
        all.append(contentsOf: held.values)
        all.append(contentsOf: ready)
        for lane in lanes.values { all.append(contentsOf: lane) }
        for tracked in all { remember(tracked, at: now) }
        _ = revoke(through: .max)
        return all.sorted { one, other in
            let (one, other) = (one.delivery.token, other.delivery.token)
            return (one.generation, one.number) < (other.generation, other.number)
        }
    }

    /// Drops the stored state of events that are not redelivered.
    mutating func forgetAll() { known = [:] }

    /// Drops deliveries of `generation` or earlier that are not being handled, because the broker redelivers them.
    ///
    /// - Returns: The dropped deliveries that were held.
    mutating func revoke(through generation: UInt64) -> [Delivery.Token] {
        func isRevoked(_ tracked: TrackedDelivery) -> Bool { tracked.delivery.token.generation <= generation }
        var heads = ready.filter(isRevoked).map(\.delivery)
        ready.removeAll(where: isRevoked)
        let revoked = held.values.filter(isRevoked).map(\.delivery)
        for delivery in revoked { held[delivery.token] = nil }
        heads += revoked
        if byKey {
            for key in lanes.keys { lanes[key]?.removeAll(where: isRevoked) }
            for delivery in heads { leave(delivery.envelope.exactPartitionKey) }
        }
        return revoked.map(\.token)
    }

    // MARK: Pausing

    /// The arrival time of the oldest delivery, or `nil` if none waits or is held.
    var oldestArrival: AnyClock.Instant? {
        var oldest = ready.lazy.map(\.arrival).min()
        for arrival in held.values.lazy.map(\.arrival) { oldest = min(oldest ?? arrival, arrival) }
        for lane in lanes.values {
            for arrival in lane.lazy.map(\.arrival) { oldest = min(oldest ?? arrival, arrival) }
        }
        return oldest
    }

    /// Opens the gate. The pause since `start` does not count towards the time for retries of the deliveries that it held
    /// back.
    mutating func openGate(afterPauseSince start: AnyClock.Instant, at now: AnyClock.Instant) {
        gate = .open
        for index in ready.indices { ready[index].extend(byPauseSince: start, until: now) }
        for token in held.keys { held[token]?.extend(byPauseSince: start, until: now) }
        for key in lanes.keys {
            guard var lane = lanes.updateValue([], forKey: key) else { continue }
            for index in lane.indices { lane[index].extend(byPauseSince: start, until: now) }
            lanes[key] = lane
        }
    }

    // MARK: Reopening

    /// Lets nothing start until ``resume(at:)``.
    mutating func pause() { isPaused = true }

    /// Stores the known state of every event that waits or is held, for its redelivery.
    mutating func rememberAll(at now: AnyClock.Instant) {
        known = [:]
        let all = held.values + ready + lanes.values.joined()
        for tracked in all { remember(tracked, at: now) }
    }

    private mutating func remember(_ tracked: TrackedDelivery, at now: AnyClock.Instant) {
        var tracked = tracked
        tracked.endHold(at: now)
        let key = ArrivalKey(tracked.delivery)
        // If an event has two copies, the one with more attempts counts.
        if let other = known[key], other.attempt >= tracked.attempt { return }
        known[key] = tracked
    }

    /// Continues after a pause. Remaining deliveries count as new arrivals: they have just arrived, or the transport
    /// cannot reopen a channel.
    mutating func resume(at now: AnyClock.Instant) {
        isPaused = false
        for index in ready.indices { ready[index].arrival = now }
        for key in lanes.keys {
            guard var lane = lanes.updateValue([], forKey: key) else { continue }
            for index in lane.indices { lane[index].arrival = now }
            lanes[key] = lane
        }
        for token in held.keys { held[token]?.arrival = now }
    }

    /// Stores the known state of a delivery that is returned although it was to be held, with the time of its next attempt.
    mutating func rememberReturned(_ tracked: TrackedDelivery) { known[ArrivalKey(tracked.delivery)] = tracked }

    /// Removes and returns the known state of the events that were returned when the lanes were closed.
    mutating func takeKnown() -> [ArrivalKey: TrackedDelivery] {
        defer { known = [:] }
        return known
    }

    /// Takes over the known state of the events that an earlier session has returned.
    mutating func inherit(_ earlier: [ArrivalKey: TrackedDelivery]) { inherited = earlier }

    /// Closes the lanes. Nothing more is stored. Returns the deliveries that are not being handled, whose state remains
    /// known.
    mutating func close() -> [TrackedDelivery] {
        isClosed = true
        // Appended, because an array that is created from an empty deque writes to the storage shared by all empty
        // arrays, which the thread sanitizer reports as a race.
        var left: [TrackedDelivery] = []
        left.append(contentsOf: held.values)
        left.append(contentsOf: ready)
        for lane in lanes.values { left.append(contentsOf: lane) }
        ready = []
        held = [:]
        known = [:]
        for tracked in left { rememberReturned(tracked) }
        for key in lanes.keys { lanes[key] = [] }
        return left
    }
}

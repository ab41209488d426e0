import DequeModule

/// Which delivery may be handled next, as a pure state machine: no locks, no waiting.
///
/// Without keys, deliveries leave in the order they came. By key, those of one key leave one at a time, each once the
/// one before is finished. A delivery that is held for a retry keeps its key, but neither counts as running nor runs
/// alone.
///
/// A delivery that the broker had to redeliver ``aloneAfterRedeliveries`` times may be the one that kills the process:
/// it leaves alone, so that it takes nothing else with it. Which of several such leaves first is drawn again each time
/// they are redelivered: otherwise one that kills the process would always come before the same others, and they would be
/// given up with it.
struct DeliveryLanes {
    /// What may begin.
    enum Gate {
        /// Everything.
        case open
        /// The next delivery alone: it closes the gate.
        case probe
        /// Nothing.
        case closed
    }

    /// After how many redeliveries a delivery is handled alone.
    static let aloneAfterRedeliveries = 3

    private let byKey: Bool
    private var ready: Deque<TrackedDelivery> = []
    /// For each key under way, what waits behind it.
    private var lanes: [ExactString: Deque<TrackedDelivery>] = [:]
    /// What waits for a retry, each at the head of its key.
    private var held: [Delivery.Token: TrackedDelivery] = [:]
    /// What was known of events when their channel was reopened, until they are redelivered.
    private var known: [EventIdentity: TrackedDelivery] = [:]
    private(set) var running = 0
    private var runsAlone = false
    /// Whether nothing may begin until the channel is reopened.
    private(set) var isPaused = false
    /// What may begin, where the subscription is paused.
    var gate = Gate.open
    private(set) var isClosed = false

    init(byKey: Bool) {
        self.byKey = byKey
    }

    /// How many deliveries wait to be handled.
    var waiting: Int { ready.count + lanes.values.reduce(0) { $0 + $1.count } }

    /// How many deliveries wait for a retry.
    var heldCount: Int { held.count }

    /// Stores a delivery; one that comes after the close is left to the broker.
    mutating func receive(_ delivery: Delivery, at now: AnyClock.Instant) {
        guard !isClosed else { return }
        var tracked = TrackedDelivery(delivery, arrival: now)
        if !known.isEmpty, let earlier = known.removeValue(forKey: EventIdentity(delivery.envelope)) {
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

    /// How many deliveries may be taken now, by as many workers.
    var takeable: Int {
        guard !runsAlone, !isPaused, gate != .closed, let next = ready.first else { return 0 }
        if isSuspect(next) { return running == 0 ? 1 : 0 }
        return gate == .probe ? 1 : ready.count
    }

    /// The next delivery that may be handled now, if there is one; ``finish(_:)``, ``hold(_:)`` or ``putBack(_:)`` has
    /// to follow.
    mutating func take() -> TrackedDelivery? {
        guard takeable > 0, let first = ready.first else { return nil }
        if isSuspect(first), ready.count > 1 { bringForwardSuspect() }
        guard var next = ready.popFirst() else { return nil }
        if gate == .probe {
            gate = .closed
            next.isProbe = true
        }
        runsAlone = isSuspect(next)
        running += 1
        return next
    }

    private func isSuspect(_ tracked: TrackedDelivery) -> Bool {
        tracked.suspiciousRedeliveries >= Self.aloneAfterRedeliveries
    }

    /// Puts one of those that leave alone first, drawn by their numbers and by how often they were redelivered.
    private mutating func bringForwardSuspect() {
        func draw(_ delivery: Delivery) -> UInt64 {
            var generator = SplitMix64(seed: delivery.token.number ^ UInt64(delivery.redeliveries) << 40)
            return generator.next()
        }
        let suspects = ready.indices.filter { isSuspect(ready[$0]) }
        guard let chosen = suspects.min(by: { draw(ready[$0].delivery) < draw(ready[$1].delivery) }) else { return }
        ready.swapAt(ready.startIndex, chosen)
    }

    /// Notes that a delivery was settled, or is no longer the subscription's; what waited behind it may follow.
    mutating func finish(_ delivery: Delivery) {
        running -= 1
        runsAlone = false
        leave(delivery.envelope.exactPartitionKey)
    }

    /// Keeps a delivery that was taken for its next attempt: its key waits with it, and nothing else does.
    mutating func hold(_ tracked: TrackedDelivery) {
        running -= 1
        runsAlone = false
        held[tracked.delivery.token] = tracked
    }

    /// Lets a held delivery be taken again.
    ///
    /// - Returns: Whether it was held.
    mutating func release(_ token: Delivery.Token) -> Bool {
        guard let tracked = held.removeValue(forKey: token) else { return false }
        ready.append(tracked)
        return true
    }

    func isHeld(_ token: Delivery.Token) -> Bool { held[token] != nil }

    /// Undoes a ``take()``.
    mutating func putBack(_ tracked: TrackedDelivery) {
        running -= 1
        runsAlone = false
        var tracked = tracked
        tracked.isProbe = false
        ready.prepend(tracked)
    }

    /// The head of a key is gone: the next of the key may be taken.
    private mutating func leave(_ key: ExactString?) {
        guard byKey, let key else { return }
        if let next = lanes[key]?.popFirst() {
            ready.append(next)
        } else {
            lanes[key] = nil
        }
    }

    /// Drops what is of `generation` or earlier and not being handled: the broker redelivers it.
    ///
    /// - Returns: Those that were held.
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

    /// The arrival of what has been here longest; `nil` if nothing waits or is held.
    var oldestArrival: AnyClock.Instant? {
        var oldest = ready.lazy.map(\.arrival).min()
        for arrival in held.values.lazy.map(\.arrival) { oldest = min(oldest ?? arrival, arrival) }
        for lane in lanes.values {
            for arrival in lane.lazy.map(\.arrival) { oldest = min(oldest ?? arrival, arrival) }
        }
        return oldest
    }

    /// Opens the gate. The time of the pause does not count for the retries of what was tried before.
    mutating func openGate(after pause: Duration) {
        gate = .open
        for index in ready.indices {
            ready[index].firstArrival = ready[index].firstArrival.advanced(by: pause)
        }
        for token in held.keys {
            if let first = held[token]?.firstArrival { held[token]?.firstArrival = first.advanced(by: pause) }
        }
    }

    // MARK: Reopening

    /// Lets nothing begin until ``resume(at:)``.
    mutating func pause() { isPaused = true }

    /// Keeps what is known of every event that waits or is held, for when it is redelivered.
    mutating func rememberAll() {
        known = [:]
        let all = held.values + ready + lanes.values.joined()
        // Of two copies of one event the one that was tried more often counts.
        for tracked in all {
            let identity = EventIdentity(tracked.delivery.envelope)
            if let other = known[identity], other.attempt >= tracked.attempt { continue }
            known[identity] = tracked
        }
    }

    /// Goes on. What is still here begins a new age: it has just arrived, or its transport cannot reopen a channel.
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

    /// Ends it: nothing more is stored, and what is not being handled is returned.
    mutating func close() -> [TrackedDelivery] {
        isClosed = true
        // Appended, as an array made of an empty deque writes to the storage that all empty arrays share: the thread
        // sanitizer calls it a race.
        var left: [TrackedDelivery] = []
        left.append(contentsOf: held.values)
        left.append(contentsOf: ready)
        for lane in lanes.values { left.append(contentsOf: lane) }
        ready = []
        held = [:]
        known = [:]
        for key in lanes.keys { lanes[key] = [] }
        return left
    }
}

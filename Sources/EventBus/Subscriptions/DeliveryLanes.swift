import DequeModule

/// Which delivery may be handled next, as a pure state machine: no locks, no waiting.
///
/// Without keys, deliveries leave in the order they came. By key, those of one key leave one at a time, each once the
/// one before is finished. A delivery that the broker had to bring again ``aloneAfterRedeliveries`` times may be the one
/// that kills the process: it leaves alone, so that it takes nothing else with it. Which of several such leaves first is
/// drawn anew each time they are brought again: else one that kills the process would always come before the same others,
/// and they would be given up with it.
struct DeliveryLanes {
    /// After how many redeliveries a delivery is handled alone.
    static let aloneAfterRedeliveries = 3

    private let byKey: Bool
    private var ready: Deque<Delivery> = []
    /// For each key under way, what waits behind it.
    private var lanes: [String: Deque<Delivery>] = [:]
    private(set) var running = 0
    private var runsAlone = false
    private(set) var isClosed = false

    init(byKey: Bool) {
        self.byKey = byKey
    }

    /// How many deliveries wait to be handled.
    var waiting: Int { ready.count + lanes.values.reduce(0) { $0 + $1.count } }

    /// Stores a delivery; one that comes after the close is left to the broker.
    mutating func receive(_ delivery: Delivery) {
        guard !isClosed else { return }
        if byKey, let key = delivery.envelope.partitionKey {
            if lanes[key] != nil {
                lanes[key]?.append(delivery)
                return
            }
            lanes[key] = []
        }
        ready.append(delivery)
    }

    /// How many deliveries may be taken now, by as many workers.
    var takeable: Int {
        guard !runsAlone, let next = ready.first else { return 0 }
        if next.redeliveries >= Self.aloneAfterRedeliveries { return running == 0 ? 1 : 0 }
        return ready.count
    }

    /// The next delivery that may be handled now, if there is one; ``finish(_:)`` has to follow.
    mutating func take() -> Delivery? {
        guard takeable > 0, let first = ready.first else { return nil }
        if first.redeliveries >= Self.aloneAfterRedeliveries, ready.count > 1 { bringForwardSuspect() }
        guard let next = ready.popFirst() else { return nil }
        runsAlone = next.redeliveries >= Self.aloneAfterRedeliveries
        running += 1
        return next
    }

    /// Has one of those that leave alone stand first, drawn by their numbers and by how often they were brought.
    private mutating func bringForwardSuspect() {
        func draw(_ delivery: Delivery) -> UInt64 {
            var generator = SplitMix64(seed: delivery.token.number ^ UInt64(delivery.redeliveries) << 40)
            return generator.next()
        }
        let suspects = ready.indices.filter { ready[$0].redeliveries >= Self.aloneAfterRedeliveries }
        guard let chosen = suspects.min(by: { draw(ready[$0]) < draw(ready[$1]) }) else { return }
        ready.swapAt(ready.startIndex, chosen)
    }

    /// Notes that a delivery was settled; what waited behind it may follow.
    mutating func finish(_ delivery: Delivery) {
        running -= 1
        runsAlone = false
        guard byKey, let key = delivery.envelope.partitionKey else { return }
        if let next = lanes[key]?.popFirst() {
            ready.append(next)
        } else {
            lanes[key] = nil
        }
    }

    /// Drops what is of `generation` or earlier and not begun: the broker brings it again.
    mutating func revoke(through generation: UInt64) {
        func isRevoked(_ delivery: Delivery) -> Bool { delivery.token.generation <= generation }
        let revoked = ready.filter(isRevoked)
        ready.removeAll(where: isRevoked)
        guard byKey else { return }
        for key in lanes.keys { lanes[key]?.removeAll(where: isRevoked) }
        for key in revoked.compactMap(\.envelope.partitionKey) {
            // The lane's head is gone: the next, if any survived, takes its place.
            if let next = lanes[key]?.popFirst() {
                ready.append(next)
            } else {
                lanes[key] = nil
            }
        }
    }

    /// Ends it: nothing more is stored, and what was not begun is returned, to be handed back.
    mutating func close() -> [Delivery] {
        isClosed = true
        // Appended, as an array made of an empty deque writes to the storage that all empty arrays share: the thread
        // sanitizer calls it a race.
        var left: [Delivery] = []
        left.append(contentsOf: ready)
        for lane in lanes.values { left.append(contentsOf: lane) }
        ready = []
        for key in lanes.keys { lanes[key] = [] }
        return left
    }
}

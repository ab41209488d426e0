internal import EventBus

/// What became of events, to be written down in one transaction.
struct Settlement: Sendable {
    /// An event that is given up.
    struct Parking: Sendable {
        var sequence: Int64
        var key: String?
        var failure: Failure
    }

    /// An event that is tried again later.
    struct Delay: Sendable {
        var sequence: Int64
        var attempts: Int
        var unrouted: Int
        var dueAt: EventTime
        var error: String
    }

    /// Events that the broker holds.
    var published: [Int64] = []
    var parked: [Parking] = []
    var delayed: [Delay] = []
    /// Keys whose first event has gone.
    var advancedKeys: Set<String> = []
    /// The lanes of all these, once for each event.
    var lanes: [Lane] = []

    var count: Int { lanes.count }
    var isEmpty: Bool { lanes.isEmpty && parked.isEmpty }

    mutating func publish(_ event: StoredEvent) {
        published.append(event.sequence)
        lanes.append(event.lane)
        if let key = event.envelope.partitionKey { advancedKeys.insert(key) }
    }

    mutating func park(_ event: StoredEvent, _ failure: Failure) {
        parked.append(Parking(sequence: event.sequence, key: event.envelope.partitionKey, failure: failure))
        lanes.append(event.lane)
        if let key = event.envelope.partitionKey { advancedKeys.insert(key) }
    }

    mutating func delay(_ event: StoredEvent, until dueAt: EventTime, error: any Error) {
        delayed.append(
            Delay(
                sequence: event.sequence,
                attempts: event.attempts,
                unrouted: event.unrouted,
                dueAt: dueAt,
                error: "\(error)"
            )
        )
        lanes.append(event.lane)
    }

    /// Adds what came later.
    mutating func append(_ later: Settlement) {
        published += later.published
        parked += later.parked
        delayed += later.delayed
        advancedKeys.formUnion(later.advancedKeys)
        lanes += later.lanes
    }

    /// What holds whoever publishes by now: that the broker has taken events.
    var publishedOnly: Settlement {
        var settlement = self
        settlement.parked = []
        settlement.delayed = []
        return settlement
    }
}

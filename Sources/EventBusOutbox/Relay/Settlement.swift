package import EventBus

/// The outcomes of events, which are written in one transaction.
package struct Settlement: Sendable {
    /// An event that is given up.
    package struct ParkedRow: Sendable {
        package var place: EventPlace
        package var failure: Failure
        package var table: OutboxTable

        package init(place: EventPlace, failure: Failure, table: OutboxTable) {
            self.place = place
            self.failure = failure
            self.table = table
        }
    }

    /// An event that is tried again later.
    package struct Delay: Sendable {
        package var place: EventPlace
        package var attempts: Int
        package var holds: Int
        package var dueAt: EventTime
        package var error: String
    }

    /// An event whose delay the broker refused as too long.
    package struct Early: Sendable {
        package var place: EventPlace
        package var readyAt: EventTime
    }

    /// An event that reveals whether its topic has a subscription.
    package struct Probe: Sendable {
        package enum Outcome: Sendable {
            case published
            case unrouted
            /// The event could not be published. The count includes only its own attempts.
            case held(attempts: Int)
        }

        package var place: EventPlace
        package var topic: String
        /// A Boolean value indicating whether the event was set aside before.
        package var isProbe: Bool
        package var outcome: Outcome
    }

    /// The maximum length of a stored error text, in UTF-8 bytes.
    private static let maximumErrorLength = 1024

    /// The events that the broker has confirmed.
    package var published: [EventPlace] = []
    package var parked: [ParkedRow] = []
    package var delayed: [Delay] = []
    package var early: [Early] = []
    package var probes: [Probe] = []
    /// The keys whose first event has been removed.
    package var advancedKeys: Set<ExactString> = []
    /// The topics of formerly held events that the broker has confirmed, with their number.
    package var recovered: [Topic: Int] = [:]
    /// A Boolean value indicating whether the broker accepts events again after an outage.
    package var releasesHeld = false
    /// The lanes of all these events, once for each event.
    package var lanes: [Lane] = []

    package init() {}

    package var count: Int { lanes.count }
    package var isEmpty: Bool { lanes.isEmpty && !releasesHeld }

    mutating func publish(_ event: StoredEvent) {
        if event.isProbe {
            probe(event, .published)
        } else {
            published.append(event.place)
            leave(event)
            if event.holds > 0 { recovered[event.envelope.topic, default: 0] += 1 }
        }
    }

    mutating func park(_ event: StoredEvent, _ failure: Failure) {
        let table: OutboxTable = event.isProbe ? .unrouted : .outbox
        parked.append(ParkedRow(place: event.place, failure: failure, table: table))
        leave(event)
    }

    mutating func setAside(_ event: StoredEvent) {
        if event.isProbe {
            probe(event, .unrouted)
        } else {
            probes.append(
                Probe(
                    place: event.place,
                    topic: event.envelope.topic.rawValue,
                    isProbe: false,
                    outcome: .unrouted
                )
            )
            leave(event)
        }
    }

    mutating func delay(_ event: StoredEvent, until dueAt: EventTime, error: any Error) {
        if event.isProbe { return probe(event, .held(attempts: event.attempts)) }
        delayed.append(
            Delay(
                place: event.place,
                attempts: event.attempts,
                holds: event.holds,
                dueAt: dueAt,
                error: "\(error)".printable(upToUTF8Length: Self.maximumErrorLength)
            )
        )
        join(event)
    }

    mutating func wait(_ event: StoredEvent, until readyAt: EventTime) {
        if event.isProbe { return probe(event, .held(attempts: event.attempts)) }
        early.append(Early(place: event.place, readyAt: readyAt))
        leave(event)
    }

    private mutating func probe(_ event: StoredEvent, _ outcome: Probe.Outcome) {
        let topic = event.envelope.topic.rawValue
        probes.append(Probe(place: event.place, topic: topic, isProbe: true, outcome: outcome))
        join(event)
    }

    private mutating func join(_ event: StoredEvent) {
        lanes.append(event.lane)
    }

    /// Records that the event no longer blocks its key.
    private mutating func leave(_ event: StoredEvent) {
        join(event)
        if !event.isProbe, let key = event.envelope.exactPartitionKey { advancedKeys.insert(key) }
    }

    /// Appends later outcomes.
    mutating func append(_ later: Settlement) {
        published += later.published
        parked += later.parked
        delayed += later.delayed
        early += later.early
        probes += later.probes
        advancedKeys.formUnion(later.advancedKeys)
        recovered.merge(later.recovered, uniquingKeysWith: +)
        releasesHeld = releasesHeld || later.releasesHeld
        lanes += later.lanes
    }

    /// The part that is valid even after another relay has taken over: the events that the broker has confirmed.
    package var publishedOnly: Settlement {
        var settlement = Settlement()
        settlement.published = published
        settlement.probes = probes.filter { if case .published = $0.outcome { true } else { false } }
        settlement.advancedKeys = advancedKeys
        settlement.lanes = lanes
        return settlement
    }
}

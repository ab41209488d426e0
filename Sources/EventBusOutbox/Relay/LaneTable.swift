internal import DequeModule
internal import EventBus

/// The events that a relay has read, in lanes: one for each partition key, and one for each event without a key. It
/// reads no clock and performs no I/O.
///
/// At most one event of a lane is in flight. Lanes whose first event was held before are in a separate queue, so that
/// they never delay the others. An event is held if the broker refused it or gave no answer.
struct LaneTable: Sendable {
    private struct LaneState: Sendable {
        var waiting: Deque<StoredEvent> = []
        var isInFlight = false
        /// A Boolean value indicating whether the lane has to be read again before its event in flight is sent again,
        /// because earlier events may have returned to the outbox since.
        var isOutdated = false
        /// The number of events whose outcome has not been written to the database.
        var unwritten = 0

        var isDone: Bool { waiting.isEmpty && !isInFlight && unwritten == 0 }
    }

    private var lanes: [Lane: LaneState] = [:]
    private var ready: Deque<Lane> = []
    private var suspects: Deque<Lane> = []

    /// The number of events that wait to be published.
    private(set) var waitingCount = 0
    /// The total size of the events that wait to be published.
    private(set) var waitingBytes = 0

    var isEmpty: Bool { lanes.isEmpty }
    /// The lanes that must not be read, because they have events here or outcomes that have not been written.
    var busy: Set<Lane> { Set(lanes.keys) }
    /// The number of lanes whose first event was not held before.
    var readyCount: Int { ready.count }
    var hasSuspects: Bool { !suspects.isEmpty }

    // MARK: Taking events

    /// Takes the first event of at most `limit` lanes: ready ones first, then suspects.
    mutating func take(_ limit: Int, includingSuspects: Bool = false) -> [StoredEvent] {
        var events: [StoredEvent] = []
        events.reserveCapacity(min(limit, ready.count))
        while events.count < limit, let lane = ready.popFirst() { takeFirst(of: lane, into: &events) }
        while includingSuspects, events.count < limit, let lane = suspects.popFirst() {
            takeFirst(of: lane, into: &events)
        }
        return events
    }

    /// Takes events that were held before. The more often they were held, the fewer are taken together, so that an
    /// event that breaks the connection whenever it is sent is soon sent alone.
    mutating func takeSuspects(batchSize: Int) -> [StoredEvent] {
        var events: [StoredEvent] = []
        var limit = batchSize
        while let lane = suspects.first, let event = lanes[lane]?.waiting.first {
            limit = min(limit, max(1, batchSize >> min(2 * event.holds, 62)))
            guard events.count < limit else { break }
            suspects.removeFirst()
            takeFirst(of: lane, into: &events)
        }
        return events
    }

    private mutating func takeFirst(of lane: Lane, into events: inout [StoredEvent]) {
        guard let event = lanes[lane]?.waiting.popFirst() else { return }
        lanes[lane]?.isInFlight = true
        waitingCount -= 1
        waitingBytes -= event.size
        events.append(event)
    }

    // MARK: Adding events

    /// Adds the events that were read for a lane, unless the lane has events already.
    mutating func add(_ run: [StoredEvent]) {
        guard let lane = run.first?.lane, lanes[lane] == nil else { return }
        lanes[lane] = LaneState(waiting: Deque(run))
        waitingCount += run.count
        waitingBytes += run.reduce(0) { $0 + $1.size }
        line(up: lane)
    }

    /// Records that the event in flight has an outcome to be written. The next event of its lane may be published.
    mutating func resume(_ lane: Lane) {
        lanes[lane]?.isInFlight = false
        lanes[lane]?.unwritten += 1
        line(up: lane)
    }

    /// Records that the event in flight has an outcome to be written. The events after it wait in the database.
    mutating func breakOff(_ lane: Lane) {
        lanes[lane]?.isInFlight = false
        lanes[lane]?.unwritten += 1
        removeWaiting(of: lane)
    }

    /// Returns the event in flight to the front of its lane, from which it is published again.
    ///
    /// - Returns: `false` if the event was dropped instead, because its lane has to be read again.
    mutating func putBack(_ event: StoredEvent) -> Bool {
        if lanes[event.lane]?.isOutdated == true {
            drop(event.lane)
            return false
        }
        lanes[event.lane]?.isInFlight = false
        lanes[event.lane]?.waiting.prepend(event)
        waitingCount += 1
        waitingBytes += event.size
        line(up: event.lane)
        return true
    }

    /// Drops the event in flight and the events after it. Nothing is written to the database.
    mutating func drop(_ lane: Lane) {
        lanes[lane]?.isInFlight = false
        removeWaiting(of: lane)
        forget(lane)
    }

    private mutating func removeWaiting(of lane: Lane) {
        guard let waiting = lanes[lane]?.waiting else { return }
        waitingCount -= waiting.count
        waitingBytes -= waiting.reduce(0) { $0 + $1.size }
        lanes[lane]?.waiting = []
    }

    private mutating func line(up lane: Lane) {
        guard let event = lanes[lane]?.waiting.first else { return }
        if event.holds > 0 { suspects.append(lane) } else { ready.append(lane) }
    }

    /// Allows held events to be published together again, because they were not at fault.
    mutating func clearSuspicion() {
        for lane in suspects {
            guard let holds = lanes[lane]?.waiting.first?.holds else { continue }
            lanes[lane]?.waiting[0].holds = min(holds, 1)
        }
    }

    // MARK: Recording outcomes

    /// Records that an outcome is being written, so that the lane can be read again.
    mutating func noteWritten(_ lane: Lane) {
        lanes[lane]?.unwritten -= 1
        forget(lane)
    }

    /// Records that an outcome could not be written after all.
    mutating func noteUnwritten(_ lane: Lane) {
        lanes[lane, default: LaneState()].unwritten += 1
    }

    /// Drops all waiting events. Those in flight are dropped too, unless the broker takes them.
    mutating func removeWaiting() {
        ready = []
        suspects = []
        waitingCount = 0
        waitingBytes = 0
        for lane in Array(lanes.keys) {
            lanes[lane]?.waiting = []
            if lanes[lane]?.isInFlight == true { lanes[lane]?.isOutdated = true }
            forget(lane)
        }
    }

    private mutating func forget(_ lane: Lane) {
        if lanes[lane]?.isDone == true { lanes[lane] = nil }
    }
}

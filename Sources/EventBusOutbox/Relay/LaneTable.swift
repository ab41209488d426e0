internal import DequeModule
internal import EventBus

/// The events that a relay has read, in lanes: one for each partition key, and one for each event without a key. Pure.
///
/// At most one event of a lane is under way. Lanes whose first event the broker has held up before stand in a queue of
/// their own, so that they never delay the others.
struct LaneTable: Sendable {
    private struct LaneState: Sendable {
        var waiting: Deque<StoredEvent> = []
        var isInFlight = false
        /// Events whose outcome is not written down yet.
        var unwritten = 0

        var isDone: Bool { waiting.isEmpty && !isInFlight && unwritten == 0 }
    }

    private var lanes: [Lane: LaneState] = [:]
    private var ready: Deque<Lane> = []
    private var suspects: Deque<Lane> = []

    /// How many events wait to go out.
    private(set) var waitingCount = 0

    var isEmpty: Bool { lanes.isEmpty }
    /// The lanes that are not to be read: they have events here, or outcomes that are not written down.
    var busy: Set<Lane> { Set(lanes.keys) }
    /// How many lanes have a first event that was not held up before.
    var readyCount: Int { ready.count }
    var hasSuspects: Bool { !suspects.isEmpty }

    // MARK: Taking out

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

    /// Takes events that the broker held up before: the fewer together the more often it did, so that one that breaks the
    /// connection whenever it is sent is alone before long.
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
        events.append(event)
    }

    // MARK: Putting in

    /// Adds what was read of a lane, unless there is something of it already.
    mutating func add(_ run: [StoredEvent]) {
        guard let lane = run.first?.lane, lanes[lane] == nil else { return }
        lanes[lane] = LaneState(waiting: Deque(run))
        waitingCount += run.count
        line(up: lane)
    }

    /// The event under way has an outcome that is to be written down: the next of its lane may go out.
    mutating func goOn(_ lane: Lane) {
        lanes[lane]?.isInFlight = false
        lanes[lane]?.unwritten += 1
        line(up: lane)
    }

    /// The event under way has an outcome that is to be written down, and what is behind it waits in the database.
    mutating func breakOff(_ lane: Lane) {
        lanes[lane]?.isInFlight = false
        lanes[lane]?.unwritten += 1
        waitingCount -= lanes[lane]?.waiting.count ?? 0
        lanes[lane]?.waiting = []
    }

    /// The event under way goes out again from here.
    mutating func putBack(_ event: StoredEvent) {
        lanes[event.lane]?.isInFlight = false
        lanes[event.lane]?.waiting.prepend(event)
        waitingCount += 1
        line(up: event.lane)
    }

    /// The event under way is forgotten, with those behind it: nothing is written down.
    mutating func drop(_ lane: Lane) {
        lanes[lane]?.isInFlight = false
        waitingCount -= lanes[lane]?.waiting.count ?? 0
        lanes[lane]?.waiting = []
        forget(lane)
    }

    private mutating func line(up lane: Lane) {
        guard let event = lanes[lane]?.waiting.first else { return }
        if event.holds > 0 { suspects.append(lane) } else { ready.append(lane) }
    }

    /// Lets the events that were held up go out together again: it was not their fault.
    mutating func clearSuspicion() {
        for lane in suspects {
            guard let holds = lanes[lane]?.waiting.first?.holds else { continue }
            lanes[lane]?.waiting[0].holds = min(holds, 1)
        }
    }

    // MARK: Writing down

    /// An outcome is about to be written down: the lane can be read again.
    mutating func noteWritten(_ lane: Lane) {
        lanes[lane]?.unwritten -= 1
        forget(lane)
    }

    /// An outcome could not be written down after all.
    mutating func noteUnwritten(_ lane: Lane) {
        lanes[lane, default: LaneState()].unwritten += 1
    }

    /// Forgets all that waits, but not what is under way.
    mutating func removeWaiting() {
        ready = []
        suspects = []
        waitingCount = 0
        for lane in Array(lanes.keys) {
            lanes[lane]?.waiting = []
            forget(lane)
        }
    }

    private mutating func forget(_ lane: Lane) {
        if lanes[lane]?.isDone == true { lanes[lane] = nil }
    }
}

internal import DequeModule
internal import EventBus

/// What a relay does next, as a pure state machine: no I/O, no clock, no waiting.
///
/// It holds the events that were read from the outbox in lanes, one for each partition key, and gives out batches that
/// hold at most one event of a lane: the next one goes out when the one before it is confirmed. What became of events
/// is collected until it is written down.
struct RelayMachine: Sendable {
    typealias Instant = AnyClock.Instant

    /// What to do next.
    enum Step: Sendable {
        /// Publish these, and call ``finish(_:outcomes:now:wallTime:)``; go on meanwhile.
        case publish([StoredEvent])
        /// Write down what became of events, hold on to the lease, and read more.
        case exchange
        /// Wait for something to happen, at most until then.
        case wait(until: Instant)
    }

    /// What became of one event.
    enum Outcome: Sendable {
        /// The broker holds it.
        case published
        /// Nobody has subscribed to it.
        case unrouted(any Error)
        /// The event could not be published, whatever the state of the broker.
        case failed(any Error)
        /// The broker takes no events at present, or it is not known whether it took this one.
        case outage(any Error)
    }

    private struct LaneState: Sendable {
        var waiting: Deque<StoredEvent> = []
        var isInFlight = false
        /// Events whose outcome is not written down yet.
        var unwritten = 0

        var isDone: Bool { waiting.isEmpty && !isInFlight && unwritten == 0 }
    }

    private let settings: OutboxRelay.Configuration

    private var lanes: [Lane: LaneState] = [:]
    /// Lanes whose first event may go out.
    private var ready: Deque<Lane> = []
    private var waitingCount = 0
    private var batchesInFlight = 0
    private var pending = Settlement()

    /// Until when this relay is the one that publishes; `nil` while it is not.
    private(set) var leaseEnd: EventTime?
    private var mustLook = true
    private var hasMore = false
    private var nextLook: Instant
    private var nextDue: EventTime?

    private var outages = 0
    /// After an outage, how many events go out at a time: one finds out whether it is over, then twice as many, and so on.
    /// An event that breaks the connection whenever it is sent is found that way.
    private var probeSize: Int?
    private var pausedUntil: Instant?
    private var databaseFailures = 0
    private var databasePausedUntil: Instant?

    /// Why the broker takes nothing at present.
    private(set) var outage: (any Error)?
    /// Why the database cannot be used at present.
    private(set) var databaseFailure: (any Error)?

    init(settings: OutboxRelay.Configuration, now: Instant) {
        self.settings = settings
        self.nextLook = now
    }

    /// Whether nothing of what was read is left to do.
    var isIdle: Bool { lanes.isEmpty && pending.isEmpty && !hasMore }

    /// Notes that there may be new events.
    mutating func look() {
        mustLook = true
    }

    // MARK: Deciding

    mutating func next(now: Instant, wallTime: EventTime) -> Step {
        if let batch = takeBatch(now: now, wallTime: wallTime) { return .publish(batch) }
        if needsExchange(now: now, wallTime: wallTime) { return .exchange }
        return .wait(until: wakeUp(now: now, wallTime: wallTime))
    }

    private mutating func takeBatch(now: Instant, wallTime: EventTime) -> [StoredEvent]? {
        guard !ready.isEmpty, !isPaused(now), holdsLease(at: wallTime) else { return nil }
        // While the broker is busy, gather: a batch costs it and the database little more than a single event.
        let isWorthIt = batchesInFlight == 0 || (probeSize == nil && ready.count >= settings.batchSize)
        guard isWorthIt, batchesInFlight < Self.concurrentBatches else { return nil }
        let size = min(ready.count, probeSize ?? settings.batchSize)
        var batch: [StoredEvent] = []
        batch.reserveCapacity(size)
        for lane in ready.prefix(size) {
            guard let event = lanes[lane]?.waiting.popFirst() else { continue }
            lanes[lane]?.isInFlight = true
            batch.append(event)
        }
        ready.removeFirst(size)
        waitingCount -= batch.count
        batchesInFlight += 1
        return batch
    }

    private func needsExchange(now: Instant, wallTime: EventTime) -> Bool {
        if let databasePausedUntil, now < databasePausedUntil { return false }
        if let leaseEnd, leaseEnd.since(wallTime) <= settings.leaseDuration / 2 + settings.leaseDuration / 8 {
            return true
        }
        if nextLook <= now { return true }
        if batchesInFlight == 0 && ready.isEmpty && !pending.isEmpty { return true }
        if pending.count >= settings.batchSize { return true }
        guard !isPaused(now), leaseEnd != nil, waitingCount < settings.batchSize else { return false }
        // What comes in while a batch is under way is read in one go after it.
        return hasMore || (batchesInFlight == 0 && (mustLook || isDue(wallTime)))
    }

    private func wakeUp(now: Instant, wallTime: EventTime) -> Instant {
        if let databasePausedUntil, now < databasePausedUntil { return databasePausedUntil }
        var wakeUp = nextLook
        if let pausedUntil, pausedUntil > now, !ready.isEmpty { wakeUp = min(wakeUp, pausedUntil) }
        if let nextDue, leaseEnd != nil, batchesInFlight == 0, !isPaused(now) {
            wakeUp = min(wakeUp, now.advanced(by: max(.milliseconds(1), nextDue.since(wallTime))))
        }
        return wakeUp
    }

    private func isPaused(_ now: Instant) -> Bool { pausedUntil.map { now < $0 } ?? false }
    private func isDue(_ wallTime: EventTime) -> Bool { nextDue.map { $0 <= wallTime } ?? false }

    /// Whether a batch that begins now has its outcome before another relay can take over.
    private func holdsLease(at wallTime: EventTime) -> Bool {
        leaseEnd.map { $0.since(wallTime) >= settings.publishTimeout } ?? false
    }

    // MARK: Publishing

    /// Takes in what became of a batch.
    ///
    /// - Returns: The events that are given up, with the reason.
    mutating func finish(
        _ batch: [StoredEvent],
        outcomes: [Outcome],
        now: Instant,
        wallTime: EventTime
    ) -> [(StoredEvent, Failure)] {
        batchesInFlight -= 1
        var givenUp: [(StoredEvent, Failure)] = []
        var unanswered: [StoredEvent] = []
        for (event, outcome) in zip(batch, outcomes) {
            lanes[event.lane]?.isInFlight = false
            switch outcome {
            case .published:
                pending.publish(event)
                goOn(event.lane)
            case .unrouted(let error):
                var event = event
                event.unrouted += 1
                putOff(event, attempt: event.unrouted, error: error, wallTime: wallTime)
            case .failed(let error):
                givenUp += fail(event, error: error, wallTime: wallTime)
            case .outage(let error):
                outage = error
                if batch.count == 1 && (error as? EventBusError)?.code == .indeterminate {
                    // Sent alone, and the connection went: the event may be why.
                    givenUp += fail(event, error: error, wallTime: wallTime)
                } else {
                    unanswered.append(event)
                }
            }
        }
        let isOutage = outcomes.contains { if case .outage = $0 { true } else { false } }
        if isOutage {
            putBack(unanswered, isProbe: batch.count == 1)
            outages += 1
            probeSize = 1
            pausedUntil = now.advanced(by: delay(afterAttempt: outages))
        } else {
            outage = nil
            outages = 0
            pausedUntil = nil
            probeSize = probeSize.flatMap { $0 < settings.batchSize ? $0 * 2 : nil }
        }
        return givenUp
    }

    /// Counts a failed attempt: the event is tried again later, or given up.
    private mutating func fail(
        _ event: StoredEvent,
        error: any Error,
        wallTime: EventTime
    ) -> [(StoredEvent, Failure)] {
        var event = event
        event.attempts += 1
        guard let failure = verdict(on: error, attempt: event.attempts) else {
            putOff(event, attempt: event.attempts, error: error, wallTime: wallTime)
            return []
        }
        pending.park(event, failure)
        goOn(event.lane)
        return [(event, failure)]
    }

    /// The event is done with: the next of its lane may go out.
    private mutating func goOn(_ lane: Lane) {
        lanes[lane]?.unwritten += 1
        if lanes[lane]?.waiting.isEmpty == false { ready.append(lane) }
    }

    /// Has the event tried again from the outbox, later; those behind it wait there with it.
    private mutating func putOff(_ event: StoredEvent, attempt: Int, error: any Error, wallTime: EventTime) {
        pending.delay(event, until: wallTime + delay(afterAttempt: attempt), error: error)
        waitingCount -= lanes[event.lane]?.waiting.count ?? 0
        lanes[event.lane]?.waiting = []
        lanes[event.lane]?.unwritten += 1
    }

    /// Has events tried again as soon as the broker takes events: a batch in its order, so that probes close in on what
    /// breaks it, a single event behind the others, so that it does not hold them up.
    private mutating func putBack(_ events: [StoredEvent], isProbe: Bool) {
        for event in events.reversed() {
            guard leaseEnd != nil else {
                forget(event.lane)
                continue
            }
            lanes[event.lane]?.waiting.prepend(event)
            waitingCount += 1
            if isProbe { ready.append(event.lane) } else { ready.prepend(event.lane) }
        }
    }

    private func verdict(on error: any Error, attempt: Int) -> Failure? {
        if error is any NonRetryable || (error as? EventBusError)?.isFinal == true {
            return Failure(reason: .nonRetryable, error: error, attempt: attempt)
        }
        if attempt < settings.retry.maxAttempts { return nil }
        return Failure(reason: .attemptsExhausted, error: error, attempt: attempt)
    }

    private func delay(afterAttempt attempt: Int) -> Duration {
        var generator = SystemRandomNumberGenerator()
        // Not zero, which the jitter may draw: a delay has to let others go first.
        return max(.milliseconds(1), settings.retry.delay(afterAttempt: attempt, using: &generator))
    }

    // MARK: The database

    /// Begins an exchange with the database.
    ///
    /// - Returns: What to write down, and the lanes that are not to be read.
    mutating func beginExchange() -> (settlement: Settlement, busy: Set<Lane>, room: Int) {
        let settlement = pending
        pending = Settlement()
        mustLook = false
        for lane in settlement.lanes {
            lanes[lane]?.unwritten -= 1
            forget(lane)
        }
        let room = max(0, Self.concurrentBatches * settings.batchSize - waitingCount)
        return (settlement, Set(lanes.keys), room)
    }

    /// Takes in what was read, as the relay that publishes.
    mutating func load(_ taking: Taking, leaseEnd: EventTime, now: Instant) {
        self.leaseEnd = leaseEnd
        databaseAnswered(now)
        hasMore = taking.isCut
        nextDue = taking.nextDue
        for run in taking.runs {
            guard let lane = run.first?.lane, lanes[lane] == nil else { continue }
            lanes[lane] = LaneState(waiting: Deque(run))
            waitingCount += run.count
            ready.append(lane)
        }
    }

    /// Another relay publishes: forgets what was read and is not under way.
    mutating func standBy(now: Instant) {
        databaseAnswered(now)
        leaseEnd = nil
        hasMore = false
        nextDue = nil
        ready = []
        waitingCount = 0
        for lane in Array(lanes.keys) {
            lanes[lane]?.waiting = []
            forget(lane)
        }
    }

    /// The exchange failed: nothing was written or read.
    mutating func exchangeFailed(_ error: any Error, settlement: Settlement, now: Instant) {
        for lane in settlement.lanes { lanes[lane, default: LaneState()].unwritten += 1 }
        var settlement = settlement
        settlement.append(pending)
        pending = settlement
        mustLook = true
        databaseFailure = error
        databaseFailures += 1
        databasePausedUntil = now.advanced(by: delay(afterAttempt: databaseFailures))
    }

    private mutating func databaseAnswered(_ now: Instant) {
        databaseFailure = nil
        databaseFailures = 0
        databasePausedUntil = nil
        nextLook = now.advanced(by: settings.pollInterval)
    }

    private mutating func forget(_ lane: Lane) {
        if lanes[lane]?.isDone == true { lanes[lane] = nil }
    }

    /// How many batches are under way at once: while the broker confirms one, the next is sent and one more is read.
    private static let concurrentBatches = 3
}

extension EventBusError {
    /// Whether the event itself is at fault, now and for ever.
    fileprivate var isFinal: Bool { code == .invalidEnvelope || code == .tooLarge || code == .encodingFailed }
}

extension RelayMachine.Outcome {
    /// What a failed publish tells of the event.
    init(_ error: any Error) {
        guard let error = error as? EventBusError else {
            self = error is CancellationError ? .outage(error) : .failed(error)
            return
        }
        switch error.code {
        case .unroutable: self = .unrouted(error)
        case .timedOut, .indeterminate, .blocked, .unavailable, .shuttingDown: self = .outage(error)
        default: self = .failed(error)
        }
    }
}

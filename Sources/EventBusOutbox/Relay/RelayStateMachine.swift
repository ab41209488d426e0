internal import EventBus

/// The state machine of a relay. It decides the next step, and it performs no I/O, reads no clock and never waits.
///
/// It keeps the events that were read from the outbox in lanes, one for each partition key, and returns batches with at
/// most one event of each lane. The next event of a lane is sent when the previous one is confirmed. Outcomes are
/// collected until they are written.
///
/// The broker holds events up if it refuses them or gives no answer. If it confirmed another event of the same batch,
/// the problem is about the event, which is read from the database and tried again later, in separate batches. If it
/// confirmed none, the broker may be down. Then a few events at a time probe it, starting with those that have not been
/// tried yet.
struct RelayStateMachine: Sendable {
    typealias Instant = AnyClock.Instant

    /// Events that are published together.
    struct Batch: Sendable {
        fileprivate var id: Int
        var events: [StoredEvent]
    }

    /// The next step.
    enum Step: Sendable {
        /// Publish these events, then call ``finish(_:outcomes:now:wallTime:)``. Ask for further steps meanwhile.
        case publish(Batch)
        /// Write the outcomes of events, renew the lease, and read more events.
        case exchange
        /// Wait for something to happen, at most until this instant.
        case wait(until: Instant)
    }

    /// A batch in flight.
    struct Flight: Sendable {
        var start: Instant
        var count: Int
        var isOfSuspects: Bool
    }

    /// An outage: the broker confirmed no event of a batch, and none since then.
    struct Outage: Sendable {
        var error: any Error
        fileprivate var failures = 0
        fileprivate(set) var nextProbe: Instant
    }

    let settings: OutboxRelay.Configuration

    private(set) var lanes = LaneTable()
    private(set) var flights: [Int: Flight] = [:]
    private var nextBatch = 0
    private var pending = Settlement()

    /// The end of the lease while this relay publishes, and `nil` otherwise.
    private(set) var leaseEnd: EventTime?
    private var isStopping = false
    private(set) var mustLook = true
    private var hasMore = false
    private var nextLook: Instant
    /// The due time of the next event that is not due yet.
    private(set) var nextDue: EventTime?
    private var nextTopic: EventTime?

    /// The size of the batches after an outage, which doubles with each batch.
    private var growingSize: Int?
    /// The time at which the broker last confirmed an event.
    private var lastAnswer: Instant?
    private var databaseFailures = 0
    private(set) var databasePausedUntil: Instant?

    /// The current outage of the broker.
    private(set) var outage: Outage?
    /// The events that the broker holds up while it confirms others, with the last error of each.
    private(set) var held: [Int64: any Error] = [:]
    /// The reason why the database is currently unusable.
    private(set) var databaseFailure: (any Error)?

    init(settings: OutboxRelay.Configuration, now: Instant) {
        self.settings = settings
        self.nextLook = now
    }

    /// A Boolean value indicating whether all events that were read are finished.
    var isIdle: Bool { lanes.isEmpty && pending.isEmpty && !hasMore }

    /// Records that there may be new events.
    mutating func look() {
        mustLook = true
    }

    /// Stops retries: events that the broker holds up stay in the outbox.
    mutating func stop() {
        isStopping = true
    }

    // MARK: Deciding

    mutating func next(now: Instant, wallTime: EventTime) -> Step {
        if let batch = takeBatch(now: now, wallTime: wallTime) { return .publish(batch) }
        if needsExchange(now: now, wallTime: wallTime) { return .exchange }
        return .wait(until: wakeUp(now: now, wallTime: wallTime))
    }

    private mutating func takeBatch(now: Instant, wallTime: EventTime) -> Batch? {
        guard holdsLease(at: wallTime) else { return nil }
        if outage != nil { return takeProbe(now: now) }
        if lanes.readyCount > 0 {
            let ordinary = flights.values.count { !$0.isOfSuspects }
            let fresh = freshFlights(at: now)
            // While the broker is busy, gather events: a batch costs the broker and the database little more than a
            // single event.
            let isWorthIt = fresh == 0 || (growingSize == nil && lanes.readyCount >= settings.batchSize)
            if isWorthIt && fresh < Self.concurrentBatches && ordinary < Self.concurrentSlowBatches {
                return depart(lanes.take(growingSize ?? settings.batchSize), now: now, isOfSuspects: false)
            }
        }
        if lanes.hasSuspects, flights.values.count(where: \.isOfSuspects) < Self.concurrentSuspectBatches {
            return depart(lanes.takeSuspects(batchSize: settings.batchSize), now: now, isOfSuspects: true)
        }
        return nil
    }

    private mutating func takeProbe(now: Instant) -> Batch? {
        let ordinary = flights.values.count { !$0.isOfSuspects }
        guard let outage, outage.nextProbe <= now, ordinary < Self.concurrentSlowBatches else { return nil }
        // Alternates between several events, so that one without an answer delays the others little, and a single one,
        // so that an event that breaks the connection does not always affect the others.
        let size = outage.failures.isMultiple(of: 2) ? 1 : Self.probeSize
        guard let batch = depart(lanes.take(size, includingSuspects: true), now: now, isOfSuspects: false) else {
            return nil
        }
        let nextProbe = now.advanced(by: pause(afterFailure: outage.failures))
        self.outage?.nextProbe = nextProbe
        return batch
    }

    private mutating func depart(_ events: [StoredEvent], now: Instant, isOfSuspects: Bool) -> Batch? {
        if events.isEmpty { return nil }
        nextBatch += 1
        flights[nextBatch] = Flight(start: now, count: events.count, isOfSuspects: isOfSuspects)
        return Batch(id: nextBatch, events: events)
    }

    /// Returns the number of batches in flight that are not slow. Slow ones delay nothing.
    private func freshFlights(at now: Instant) -> Int {
        flights.values.count { !$0.isOfSuspects && $0.start.advanced(by: Self.slowAfter) > now }
    }

    private func needsExchange(now: Instant, wallTime: EventTime) -> Bool {
        if let databasePausedUntil, now < databasePausedUntil { return false }
        if let leaseEnd, leaseEnd.since(wallTime) <= renewal || !isPossible(leaseEnd, at: wallTime) { return true }
        if nextLook <= now { return true }
        let isQuiet = freshFlights(at: now) == 0
        if isQuiet && lanes.readyCount == 0 && !pending.isEmpty { return true }
        if pending.count >= settings.batchSize { return true }
        guard leaseEnd != nil, lanes.waitingCount < settings.batchSize,
            lanes.waitingBytes < Self.maximumWaitingBytes / 2
        else { return false }
        // Events that arrive while a batch is in flight are read together after it.
        return hasMore
            || (isQuiet && (mustLook || [nextDue, nextTopic].contains { $0.map { $0 <= wallTime } ?? false }))
    }

    private func wakeUp(now: Instant, wallTime: EventTime) -> Instant {
        if let databasePausedUntil, now < databasePausedUntil { return databasePausedUntil }
        var wakeUp = nextLook
        func consider(_ instant: Instant) {
            if instant > now { wakeUp = min(wakeUp, instant) }
        }
        if let leaseEnd { consider(now.advanced(by: leaseEnd.since(wallTime) - renewal)) }
        if let outage, lanes.waitingCount > 0 { consider(outage.nextProbe) }
        if let latest = flights.values.lazy.filter({ !$0.isOfSuspects }).map(\.start).max() {
            consider(latest.advanced(by: Self.slowAfter))
        }
        if leaseEnd != nil, freshFlights(at: now) == 0 {
            for time in [nextDue, nextTopic] {
                if let time { consider(now.advanced(by: max(.milliseconds(1), time.since(wallTime)))) }
            }
        }
        return wakeUp
    }

    /// Returns a Boolean value indicating whether a batch that starts now has its outcome before another relay can take
    /// over.
    private func holdsLease(at wallTime: EventTime) -> Bool {
        guard let leaseEnd, isPossible(leaseEnd, at: wallTime) else { return false }
        return leaseEnd.since(wallTime) >= settings.publishTimeout
    }

    /// Returns a Boolean value indicating whether the lease ends no later than it could. Otherwise the clock was set
    /// back, and another relay may take over.
    private func isPossible(_ leaseEnd: EventTime, at wallTime: EventTime) -> Bool {
        leaseEnd <= wallTime + settings.leaseDuration * 2
    }

    /// The remaining time of the lease at which it is renewed.
    private var renewal: Duration { settings.leaseDuration / 2 + settings.leaseDuration / 8 }

    // MARK: Publishing

    /// Processes the outcomes of a batch.
    ///
    /// - Returns: The events that are given up, with the reason.
    mutating func finish(
        _ batch: Batch,
        outcomes: [Outcome],
        now: Instant,
        wallTime: EventTime
    ) -> [(StoredEvent, Failure)] {
        let flight = flights.removeValue(forKey: batch.id)
        let isOfSuspects = flight?.isOfSuspects ?? false
        if outcomes.contains(where: \.isAnswer) { noteAnswer(isOfSuspects: isOfSuspects, now: now) }
        // The broker has confirmed other events, of this batch or another, since the batch was sent.
        let isAlive = lastAnswer.map { $0 >= (flight?.start ?? now) } ?? false
        var givenUp: [(StoredEvent, Failure)] = []
        var unanswered: [(StoredEvent, any Error)] = []
        for (event, outcome) in zip(batch.events, outcomes) {
            switch outcome {
            case .published:
                settled(event)
                pending.publish(event)
                lanes.resume(event.lane)
            case .unrouted:
                settled(event)
                pending.setAside(event)
                lanes.breakOff(event.lane)
            case .failed(let error):
                givenUp += fail(event, error: error, wallTime: wallTime)
            case .early(let error):
                wait(event, error: error, wallTime: wallTime)
            case .held(let error):
                if isStopping || leaseEnd == nil {
                    lanes.drop(event.lane)
                } else if isAlive || (isOfSuspects && outage == nil) {
                    hold(event, error: error, wallTime: wallTime)
                } else {
                    unanswered.append((event, error))
                }
            }
        }
        if let (_, error) = unanswered.last { noteOutage(of: unanswered, error: error, now: now, wallTime: wallTime) }
        return givenUp
    }

    private mutating func noteAnswer(isOfSuspects: Bool, now: Instant) {
        lastAnswer = now
        if outage != nil {
            outage = nil
            growingSize = Self.probeSize
            pending.releasesHeld = true
            lanes.clearSuspicion()
        }
        guard !isOfSuspects, let size = growingSize else { return }
        growingSize = size * 2 < settings.batchSize ? size * 2 : nil
    }

    /// Handles a batch of which the broker confirmed no event. These events serve as probes from now on.
    private mutating func noteOutage(
        of events: [(StoredEvent, any Error)],
        error: any Error,
        now: Instant,
        wallTime: EventTime
    ) {
        let failures = min((outage?.failures ?? 0) + 1, 1_000_000)
        let nextProbe = outage?.nextProbe ?? now.advanced(by: pause(afterFailure: failures))
        outage = Outage(error: error, failures: failures, nextProbe: nextProbe)
        // Make room for others, which the broker may accept.
        let isCrowded =
            hasMore
            && (lanes.waitingCount + events.count > Self.concurrentBatches * settings.batchSize / 2
                || lanes.waitingBytes > Self.maximumWaitingBytes / 4)
        for (event, error) in events {
            if isCrowded {
                hold(event, error: error, wallTime: wallTime)
            } else {
                var event = event
                event.holds += 1
                if !lanes.putBack(event) { mustLook = true }
            }
        }
    }

    /// Schedules a later attempt for an event. The events after it in its lane wait in the outbox with it.
    private mutating func hold(_ event: StoredEvent, error: any Error, wallTime: EventTime) {
        var event = event
        event.holds += 1
        if held.count < Self.notedHolds || held[event.sequence] != nil { held[event.sequence] = error }
        let pause = delay(by: settings.holdRetry, afterAttempt: event.holds)
        pending.delay(event, until: wallTime + pause, error: error)
        lanes.breakOff(event.lane)
    }

    /// Handles a remaining delay that the broker refused. Tries again when half of it has passed.
    private mutating func wait(_ event: StoredEvent, error: any Error, wallTime: EventTime) {
        let left = event.delay(at: wallTime)
        settled(event)
        pending.wait(event, until: wallTime + (left < .seconds(1) ? left : left / 2))
        lanes.breakOff(event.lane)
    }

    /// Counts a failed attempt, and schedules another one or gives up the event.
    private mutating func fail(
        _ event: StoredEvent,
        error: any Error,
        wallTime: EventTime
    ) -> [(StoredEvent, Failure)] {
        var event = event
        event.attempts += 1
        guard let failure = verdict(on: error, attempt: event.attempts) else {
            let pause = delay(by: settings.retry, afterAttempt: event.attempts)
            pending.delay(event, until: wallTime + pause, error: error)
            lanes.breakOff(event.lane)
            return []
        }
        settled(event)
        pending.park(event, failure)
        lanes.resume(event.lane)
        return [(event, failure)]
    }

    private mutating func settled(_ event: StoredEvent) {
        if !held.isEmpty { held[event.sequence] = nil }
    }

    // MARK: Database

    /// Begins an exchange with the database.
    ///
    /// - Returns: The outcomes to write, the lanes that must not be read, and the room for further events.
    mutating func beginExchange() -> (settlement: Settlement, busy: Set<Lane>, room: Room) {
        let settlement = pending
        pending = Settlement()
        mustLook = false
        for lane in settlement.lanes { lanes.noteWritten(lane) }
        let room = Room(
            events: max(0, Self.concurrentBatches * settings.batchSize - lanes.waitingCount),
            bytes: max(0, Self.maximumWaitingBytes - lanes.waitingBytes)
        )
        return (settlement, lanes.busy, room)
    }

    /// Adds the events that were read, as the publishing relay.
    ///
    /// - Parameter isStale: `true` if events returned to the outbox that precede others already read. Everything is
    ///   then read again.
    mutating func load(_ taking: FetchedEvents, leaseEnd: EventTime, isStale: Bool = false, now: Instant) {
        self.leaseEnd = leaseEnd
        databaseAnswered(now)
        hasMore = taking.isCut
        nextDue = taking.nextDue
        nextTopic = taking.nextTopic
        if isStale {
            lanes.removeWaiting()
            hasMore = true
            return
        }
        for run in taking.runs { lanes.add(run) }
        // Others may have deleted the held events.
        if restsUntilCalled { held = [:] }
    }

    /// Stands by because another relay publishes. Drops the events that were read and are not in flight.
    mutating func standBy(now: Instant) {
        databaseAnswered(now)
        leaseEnd = nil
        hasMore = false
        nextDue = nil
        nextTopic = nil
        outage = nil
        growingSize = nil
        held = [:]
        lanes.removeWaiting()
    }

    /// Handles a failed exchange, which has written and read nothing.
    mutating func exchangeFailed(_ error: any Error, settlement: Settlement, now: Instant) {
        for lane in settlement.lanes { lanes.noteUnwritten(lane) }
        var settlement = settlement
        settlement.append(pending)
        pending = settlement
        mustLook = true
        databaseFailure = error
        databaseFailures = min(databaseFailures + 1, 1_000_000)
        let pause = delay(by: settings.retry, afterAttempt: databaseFailures)
        databasePausedUntil = now.advanced(by: pause)
    }

    private mutating func databaseAnswered(_ now: Instant) {
        databaseFailure = nil
        databaseFailures = 0
        databasePausedUntil = nil
        nextLook = now.advanced(by: settings.pollInterval)
    }
}

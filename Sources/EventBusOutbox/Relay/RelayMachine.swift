internal import EventBus

/// What a relay does next, as a pure state machine: no I/O, no clock, no waiting.
///
/// It holds the events that were read from the outbox in lanes, one for each partition key, and gives out batches that
/// hold at most one event of a lane: the next one goes out when the one before it is confirmed. The outcomes of events
/// are collected until they are written down.
///
/// The broker may hold events up: it refuses them or gives no answer. If it took another event of the same batch, this is
/// about the event, which is tried again later, from the database, in batches apart from the others. If it took none, it
/// may be down: then a few events at a time find out, those first that have not been tried yet.
struct RelayMachine: Sendable {
    typealias Instant = AnyClock.Instant

    /// Events that go out together.
    struct Batch: Sendable {
        fileprivate var id: Int
        var events: [StoredEvent]
    }

    /// What to do next.
    enum Step: Sendable {
        /// Publish these, and call ``finish(_:outcomes:now:wallTime:)``; go on meanwhile.
        case publish(Batch)
        /// Write down the outcomes of events, hold on to the lease, and read more.
        case exchange
        /// Wait for something to happen, at most until then.
        case wait(until: Instant)
    }

    /// A batch under way.
    struct Flight: Sendable {
        var start: Instant
        var count: Int
        var isOfSuspects: Bool
    }

    /// An outage: the broker took no event of a batch, and none since.
    struct Outage: Sendable {
        var error: any Error
        fileprivate var failures = 0
        fileprivate(set) var nextProbe: Instant
    }

    private let settings: OutboxRelay.Configuration

    private(set) var lanes = LaneTable()
    private(set) var flights: [Int: Flight] = [:]
    private var nextBatch = 0
    private var pending = Settlement()

    /// Until when this relay is the one that publishes; `nil` while it is not.
    private(set) var leaseEnd: EventTime?
    private var isStopping = false
    private(set) var mustLook = true
    private var hasMore = false
    private var nextLook: Instant
    /// When the next event is due that is not yet.
    private(set) var nextDue: EventTime?
    private var nextTopic: EventTime?

    /// After an outage, how many events go out at a time: twice as many after each batch.
    private var growingSize: Int?
    /// When the broker last took an event.
    private var lastAnswer: Instant?
    private var databaseFailures = 0
    private(set) var databasePausedUntil: Instant?

    /// The outage of the broker at present.
    private(set) var outage: Outage?
    /// The events that the broker holds up, while it takes others, with the last error of each.
    private(set) var held: [Int64: any Error] = [:]
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

    /// Notes that nothing is tried again from now on: what the broker holds up stays as it is.
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
            // While the broker is busy, gather: a batch costs it and the database little more than a single event.
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
        // In turn several, so that one that gets no answer delays the others little, and one alone, so that one that
        // breaks the connection does not always take the others along.
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

    /// How many batches are under way and not yet slow: one that is holds nothing up.
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
        guard leaseEnd != nil, lanes.waitingCount < settings.batchSize else { return false }
        // What comes in while a batch is under way is read in one go after it.
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

    /// Whether a batch that begins now has its outcome before another relay can take over.
    private func holdsLease(at wallTime: EventTime) -> Bool {
        guard let leaseEnd, isPossible(leaseEnd, at: wallTime) else { return false }
        return leaseEnd.since(wallTime) >= settings.publishTimeout
    }

    /// Whether the lease ends no later than it could. Otherwise the clock was set back, and another relay may take over.
    private func isPossible(_ leaseEnd: EventTime, at wallTime: EventTime) -> Bool {
        leaseEnd <= wallTime + settings.leaseDuration * 2
    }

    /// How much of the lease is left when it is renewed.
    private var renewal: Duration { settings.leaseDuration / 2 + settings.leaseDuration / 8 }

    // MARK: Publishing

    /// Takes in the outcomes of a batch.
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
        // Since the batch went out the broker has taken others, in this batch or another.
        let isAlive = lastAnswer.map { $0 >= (flight?.start ?? now) } ?? false
        var givenUp: [(StoredEvent, Failure)] = []
        var unanswered: [(StoredEvent, any Error)] = []
        for (event, outcome) in zip(batch.events, outcomes) {
            switch outcome {
            case .published:
                settled(event)
                pending.publish(event)
                lanes.goOn(event.lane)
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

    /// The broker took none of these events: they find out when it does again.
    private mutating func noteOutage(
        of events: [(StoredEvent, any Error)],
        error: any Error,
        now: Instant,
        wallTime: EventTime
    ) {
        let failures = min((outage?.failures ?? 0) + 1, 1_000_000)
        let nextProbe = outage?.nextProbe ?? now.advanced(by: pause(afterFailure: failures))
        outage = Outage(error: error, failures: failures, nextProbe: nextProbe)
        // Make room for others, which the broker may take.
        let isCrowded = hasMore && lanes.waitingCount + events.count > Self.concurrentBatches * settings.batchSize / 2
        for (event, error) in events {
            if isCrowded {
                hold(event, error: error, wallTime: wallTime)
            } else {
                var event = event
                event.holds += 1
                lanes.putBack(event)
            }
        }
    }

    /// Has an event tried again from the outbox, later; those behind it wait there with it.
    private mutating func hold(_ event: StoredEvent, error: any Error, wallTime: EventTime) {
        var event = event
        event.holds += 1
        if held.count < Self.notedHolds || held[event.sequence] != nil { held[event.sequence] = error }
        let pause = delay(by: settings.holdRetry, afterAttempt: event.holds)
        pending.delay(event, until: wallTime + pause, error: error)
        lanes.breakOff(event.lane)
    }

    /// The broker refused the delay that is left: tries again when half of it has passed.
    private mutating func wait(_ event: StoredEvent, error: any Error, wallTime: EventTime) {
        let left = event.delay(at: wallTime)
        pending.wait(event, until: wallTime + (left < .seconds(1) ? left : left / 2))
        lanes.breakOff(event.lane)
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
            let pause = delay(by: settings.retry, afterAttempt: event.attempts)
            pending.delay(event, until: wallTime + pause, error: error)
            lanes.breakOff(event.lane)
            return []
        }
        settled(event)
        pending.park(event, failure)
        lanes.goOn(event.lane)
        return [(event, failure)]
    }

    private mutating func settled(_ event: StoredEvent) {
        if !held.isEmpty { held[event.sequence] = nil }
    }

    private func verdict(on error: any Error, attempt: Int) -> Failure? {
        // Only a transport may come to take what it does not support.
        if error is any NonRetryable || (error as? EventBusError)?.code != .unsupported {
            return Failure(reason: .nonRetryable, error: error, attempt: attempt)
        }
        if attempt < settings.retry.maxAttempts { return nil }
        return Failure(reason: .attemptsExhausted, error: error, attempt: attempt)
    }

    /// The time between two probes: however long the outage, an event that comes in is tried soon.
    private func pause(afterFailure failures: Int) -> Duration {
        min(delay(by: settings.retry, afterAttempt: failures), settings.publishTimeout)
    }

    private func delay(by policy: RetryPolicy, afterAttempt attempt: Int) -> Duration {
        var generator = SystemRandomNumberGenerator()
        // Not zero, which the jitter may draw: a delay has to let others go first.
        return max(.milliseconds(1), policy.delay(afterAttempt: min(attempt, 10_000), using: &generator))
    }

    // MARK: The database

    /// Begins an exchange with the database.
    ///
    /// - Returns: What to write down, and the lanes that are not to be read.
    mutating func beginExchange() -> (settlement: Settlement, busy: Set<Lane>, room: Int) {
        let settlement = pending
        pending = Settlement()
        mustLook = false
        for lane in settlement.lanes { lanes.noteWritten(lane) }
        let room = max(0, Self.concurrentBatches * settings.batchSize - lanes.waitingCount)
        return (settlement, lanes.busy, room)
    }

    /// Takes in what was read, as the relay that publishes.
    ///
    /// - Parameter isStale: Whether events went back to the outbox before others that were read: then all is read again.
    mutating func load(_ taking: Taking, leaseEnd: EventTime, isStale: Bool = false, now: Instant) {
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
    }

    /// Another relay publishes: forgets what was read and is not under way.
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

    /// The exchange failed: nothing was written or read.
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

internal import CoreMetrics
public import EventBus
public import GRDB
public import Logging
public import ServiceLifecycle

/// Publishes what an ``Outbox`` has stored.
///
/// ```swift
/// let relay = OutboxRelay(database: database, bus: bus, logger: logger)
/// try await ServiceGroup(services: [bus, relay, server], logger: logger).run()
/// ```
///
/// - **Order.** Events of one partition key go out one after another, in the order in which they were stored: the next
///   one when the broker has confirmed the one before. A key that fails holds up no other. Events without a key have no
///   order.
/// - **At least once.** An event is deleted once the broker holds it. A crash in between publishes it again, with the
///   same identity: an inbox suppresses it.
/// - **Nothing is given up silently.** Without a broker events wait. Without a subscriber they wait, unless
///   ``Configuration/requiresSubscriber`` is false. What cannot be published is parked after
///   ``Configuration/retry``'s attempts, with the reason, and the events behind it go on; see ``Outbox/parked(limit:in:)``.
/// - **Several relays** may run on one database. One of them publishes, by a lease in the database; the others stand by.
///   The lease is measured by the time of day, which processes on one machine have in common.
///
/// It wakes when a transaction on the same `DatabaseWriter` has committed, and looks for the events of other processes
/// every ``Configuration/pollInterval``. In a `ServiceGroup` it stands after its bus, so that it is stopped before it.
///
/// | metric | kind | |
/// |---|---|---|
/// | `eventbus.outbox.backlog` | gauge | events that wait |
/// | `eventbus.outbox.oldest_age_seconds` | gauge | how long the oldest has waited |
/// | `eventbus.outbox.parked` | gauge | events that were given up and are still there |
/// | `eventbus.outbox.published` | counter | events that the broker took |
/// | `eventbus.outbox.given_up` | counter | events that were parked |
public final class OutboxRelay: Service {
    private struct State: Sendable {
        var machine: RelayMachine
        var phase = Phase.idle
        var backlog: OutboxBacklog?
        var nextMeasurement: AnyClock.Instant
    }

    private enum Phase: Sendable {
        case idle, running, stopping, stopped
    }

    /// Tells this relay from every other one on the database.
    private let owner = EventID().rawValue
    private let database: any DatabaseWriter
    private let bus: EventBus
    private let settings: Configuration
    private let clock: AnyClock
    private let wallClock: WallClock
    private let logger: BusLogger
    private let metrics: RelayMetrics
    private let wakeUp = WakeUp()
    private let state: Locked<State>

    /// A relay from `database` to `bus`.
    ///
    /// - Parameters:
    ///   - database: The database with the outbox's tables, best the very object that the service writes through: then
    ///     commits wake the relay.
    ///   - bus: Where events are published. It has to run.
    ///   - configuration: How the relay behaves.
    ///   - logger: Where it logs. Defaults to swift-log's logger with the label `eventbus.outbox`, so that parked events
    ///     leave a trace; for silence give one with a `SwiftLogNoOpLogHandler`.
    public convenience init(
        database: any DatabaseWriter,
        bus: EventBus,
        configuration: Configuration = .init(),
        logger: Logger = Logger(label: "eventbus.outbox")
    ) {
        self.init(
            database: database,
            bus: bus,
            configuration: configuration,
            logger: logger,
            metrics: MetricsSystem.factory
        )
    }

    init(
        database: any DatabaseWriter,
        bus: EventBus,
        configuration: Configuration,
        logger: Logger,
        metrics: any MetricsFactory
    ) {
        let settings = configuration.corrected
        self.database = database
        self.bus = bus
        self.settings = settings
        self.clock = bus.clock
        self.wallClock = WallClock(bus.clock)
        self.logger = BusLogger(logger)
        self.metrics = RelayMetrics(factory: metrics)
        let now = bus.clock.now
        self.state = Locked(State(machine: RelayMachine(settings: settings, now: now), nextMeasurement: now))
    }

    /// Publishes until a graceful shutdown, which finishes the batches under way and writes down what became of them.
    ///
    /// A cancellation does not wait for the broker: what is not confirmed is published again by the next relay.
    ///
    /// - Throws: `EventBusError` with code `.alreadyRunning` on a second call. Errors of the database and of the broker
    ///   do not end it: it tries again, and ``health()`` tells.
    public func run() async throws {
        let isFirst = state.withLock { state in
            guard state.phase == .idle else { return false }
            state.phase = .running
            return true
        }
        guard isFirst else { throw EventBusError(.alreadyRunning, "a relay runs once: make a new one") }
        await withTaskCancellationHandler {
            await withGracefulShutdownHandler {
                await work()
            } onGracefulShutdown: {
                self.stop()
            }
        } onCancel: {
            stop()
        }
    }

    /// Whether events are published, and if not why; with the backlog as last measured.
    public func health() -> ComponentHealth {
        let (phase, outage, failure, isStandby, backlog) = state.withLock { state in
            let machine = state.machine
            return (state.phase, machine.outage, machine.databaseFailure, machine.leaseEnd == nil, state.backlog)
        }
        var details: [String: Int] = [:]
        if let backlog {
            details["backlog"] = backlog.count
            details["oldest_age_seconds"] = Int(backlog.oldestAge?.inSeconds ?? 0)
            details["parked"] = backlog.parked
        }
        details["publishes"] = isStandby ? 0 : 1
        let reason: String? =
            switch phase {
            case .idle: "not running yet"
            case .stopping: "shutting down"
            case .stopped: "shut down"
            case .running:
                failure.map { "the database cannot be used: \($0)" }
                    ?? outage.map { "the broker takes no events, which wait: \($0)" }
            }
        return ComponentHealth(
            name: "outbox.relay",
            status: reason == nil ? .ready : .notReady,
            reason: reason,
            details: details
        )
    }

    private func stop() {
        state.withLock { if $0.phase == .running { $0.phase = .stopping } }
        wakeUp.call()
    }

    // MARK: Working

    private func work() async {
        let observer = InsertObserver { [weak self] in
            self?.state.withLock { $0.machine.look() }
            self?.wakeUp.call()
        }
        database.add(transactionObserver: observer, extent: .observerLifetime)
        await withDiscardingTaskGroup { group in
            while let step = nextStep() {
                switch step {
                case .publish(let batch):
                    group.addTask { await self.publish(batch) }
                case .exchange:
                    await exchange()
                case .wait(let deadline):
                    _ = await wakeUp.wait(until: deadline, clock: clock)
                }
            }
        }
        database.remove(transactionObserver: observer)
        await finish()
        state.withLock { $0.phase = .stopped }
    }

    private func nextStep() -> RelayMachine.Step? {
        let (now, wallTime) = (clock.now, wallClock.now)
        return state.withLock { state in
            state.phase == .running ? state.machine.next(now: now, wallTime: wallTime) : nil
        }
    }

    private func publish(_ batch: [StoredEvent]) async {
        let outcomes = await outcomes(of: batch)
        let (now, wallTime) = (clock.now, wallClock.now)
        let givenUp = state.withLock {
            $0.machine.finish(batch, outcomes: outcomes, now: now, wallTime: wallTime)
        }
        metrics.notePublished(outcomes.count { if case .published = $0 { true } else { false } })
        if !givenUp.isEmpty { metrics.noteGivenUp(givenUp.count) }
        for (event, failure) in givenUp {
            logger.logger.info(
                "an event of the outbox could not be published and is parked",
                metadata: [
                    LogKeys.eventID: "\(event.envelope.id)",
                    LogKeys.topic: "\(event.envelope.topic)",
                    LogKeys.attempt: "\(failure.attempt)",
                    LogKeys.reason: "\(failure.reason)",
                    LogKeys.error: "\(failure.message)",
                ]
            )
        }
        wakeUp.call()
    }

    private func outcomes(of batch: [StoredEvent]) async -> [RelayMachine.Outcome] {
        let wallTime = wallClock.now
        let isDelayed = batch.contains { $0.delay(at: wallTime) > .zero }
        guard isDelayed else { return await send(batch, delay: .zero) }
        // Delays differ from event to event, so these go out one by one, side by side.
        return await withTaskGroup(of: (Int, RelayMachine.Outcome?).self) { group in
            for (index, event) in batch.enumerated() {
                group.addTask { (index, await self.send([event], delay: event.delay(at: wallTime)).first) }
            }
            var outcomes = [RelayMachine.Outcome](repeating: .outage(CancellationError()), count: batch.count)
            for await (index, outcome) in group {
                if let outcome { outcomes[index] = outcome }
            }
            return outcomes
        }
    }

    private func send(_ batch: [StoredEvent], delay: Duration) async -> [RelayMachine.Outcome] {
        let options = PublishOptions(deadline: settings.publishTimeout, delay: delay)
        do {
            let results = try await bus.publish(contentsOf: batch.map(\.envelope), options: options)
            return zip(batch, results).map { event, result in outcome(of: event, result) }
        } catch {
            return batch.map { _ in RelayMachine.Outcome(error) }
        }
    }

    private func outcome(of event: StoredEvent, _ result: Result<PublishReceipt, any Error>) -> RelayMachine.Outcome {
        switch result {
        case .success(let receipt):
            guard receipt.outcome == .unroutable, settings.requiresSubscriber || event.requiresSubscriber else {
                return .published
            }
            return .unrouted(
                EventBusError(.unroutable, "no subscription matches topic \(event.envelope.topic), and one is required")
            )
        case .failure(let error):
            return RelayMachine.Outcome(error)
        }
    }

    // MARK: The database

    private enum Exchanged: Sendable {
        case leading(Taking, until: EventTime)
        case standingBy
    }

    /// Writes down what became of events, holds on to the lease, and reads more: in one transaction.
    private func exchange() async {
        let (settlement, busy, room) = state.withLock { $0.machine.beginExchange() }
        let wallTime = wallClock.now
        do {
            let exchanged = try await database.write { [owner, settings] db -> Exchanged in
                guard
                    let lease = try OutboxStore.acquire(
                        owner,
                        duration: settings.leaseDuration,
                        now: wallTime,
                        in: db
                    )
                else {
                    try OutboxStore.settle(settlement.publishedOnly, now: wallTime, in: db)
                    return .standingBy
                }
                try OutboxStore.settle(settlement, now: wallTime, in: db)
                if lease.isNew { try OutboxStore.repair(in: db) }
                var taking = try OutboxStore.take(
                    limit: room,
                    depth: Self.depthOfLane,
                    excluding: busy,
                    now: wallTime,
                    in: db
                )
                if !taking.unreadable.isEmpty {
                    var unreadable = Settlement()
                    unreadable.parked = taking.unreadable
                    unreadable.advancedKeys = Set(taking.unreadable.compactMap(\.key))
                    try OutboxStore.settle(unreadable, now: wallTime, in: db)
                    taking.isCut = true
                }
                return .leading(taking, until: lease.until)
            }
            let now = clock.now
            state.withLock { state in
                switch exchanged {
                case .leading(let taking, let until): state.machine.load(taking, leaseEnd: until, now: now)
                case .standingBy: state.machine.standBy(now: now)
                }
            }
            await measure()
        } catch {
            let now = clock.now
            state.withLock { $0.machine.exchangeFailed(error, settlement: settlement, now: now) }
            logger.logger.info("the outbox's database cannot be used", metadata: [LogKeys.error: "\(error)"])
        }
    }

    /// Measures the backlog when all is done, and from time to time while it is not.
    private func measure() async {
        let now = clock.now
        let isTime = state.withLock { state in
            guard state.machine.isIdle || state.nextMeasurement <= now else { return false }
            state.nextMeasurement = now.advanced(by: settings.measurementInterval)
            return true
        }
        guard isTime else { return }
        let wallTime = wallClock.now
        guard let backlog = try? await database.read({ db in try OutboxStore.backlog(now: wallTime, in: db) }) else {
            return
        }
        state.withLock { $0.backlog = backlog }
        metrics.record(backlog)
    }

    /// Writes down what became of the last batches, and lets another relay take over.
    private func finish() async {
        let settlement = state.withLock { $0.machine.beginExchange().settlement }
        let wallTime = wallClock.now
        let (database, owner, settings) = (database, owner, settings)
        do {
            // Also where the task was cancelled: what was confirmed is not to go out again.
            try await withoutCancellation {
                try await database.write { db in
                    let lease = try OutboxStore.acquire(
                        owner,
                        duration: settings.leaseDuration,
                        now: wallTime,
                        in: db
                    )
                    try OutboxStore.settle(lease == nil ? settlement.publishedOnly : settlement, now: wallTime, in: db)
                    try OutboxStore.release(owner, in: db)
                }
            }
        } catch {
            logger.logger.info(
                "what the outbox published last could not be written down and will be published again",
                metadata: [LogKeys.error: "\(error)"]
            )
        }
    }

    /// How many events of one key are read at a time.
    private static let depthOfLane = 100
}

extension StoredEvent {
    /// How long the broker is to hold the event, if it goes out at `time`.
    fileprivate func delay(at time: EventTime) -> Duration {
        deliverAt.map { max(.zero, $0.since(time)) } ?? .zero
    }
}

package import CoreMetrics
package import EventBus
package import Logging
public import ServiceLifecycle

/// A service that publishes the events of an ``Outbox``.
///
/// ```swift
/// let relay = OutboxRelay(database: database, bus: bus, logger: logger)
/// try await ServiceGroup(services: [bus, relay, server], logger: logger).run()
/// ```
///
/// - **Order.** The events of one partition key are published one after another, in the order in which they were
///   stored. The next one is sent when the broker has confirmed the previous one. A failing key delays no other key.
///   Events without a key have no order.
/// - **At least once.** An event is deleted when the broker has confirmed it. After a crash in between it is published
///   again with the same identity, and an inbox suppresses the duplicate.
/// - **Broker failures do not count.** While the broker is unreachable, refuses events or does not answer, events wait
///   and use up no attempt. An event without an answer delays only itself and its key.
/// - **Nothing is given up silently.** An event without a subscriber waits, unless ``Configuration/requiresSubscriber``
///   is false. Events of other topics that follow it in its key are published meanwhile. Those of its own topic wait
///   with it, and all are published in order once there is a subscriber. An event that is itself at fault is parked
///   with the reason, and the events after it are published. See ``Outbox/parked(limit:in:)``.
/// - **Several relays** may run on one database. A lease in the database selects the one that publishes, and the others
///   stand by. The lease is measured by the time of day, which all processes on one machine share.
///
/// The relay wakes when a transaction on the same `DatabaseWriter` has committed, and checks for the events of other
/// processes every ``Configuration/pollInterval``. In a `ServiceGroup` it follows its bus, so that it is stopped before
/// the bus.
///
/// | metric | kind | |
/// |---|---|---|
/// | `eventbus.outbox.backlog` | gauge | events that wait |
/// | `eventbus.outbox.oldest_age_seconds` | gauge | the age of the oldest waiting event |
/// | `eventbus.outbox.parked` | gauge | events that were given up and are still stored |
/// | `eventbus.outbox.published` | counter | events that the broker confirmed |
/// | `eventbus.outbox.given_up` | counter | events that were parked |
/// | `eventbus.outbox.without_subscriber` | gauge | events without a subscriber |
///
/// Only the publishing relay measures these. A relay on standby reports zeros. From PostgreSQL, the gauges count at most
/// 100,000 events of each state (``OutboxBacklog/isLowerBound``), while the age tells how long a larger backlog lasts.
public final class OutboxRelay: Service {
    struct State: Sendable {
        var machine: RelayStateMachine
        var phase = Phase.idle
        var backlog: OutboxBacklog?
        /// A Boolean value indicating whether the backlog may have changed since it was measured.
        var isChanged = true
        var nextMeasurement: AnyClock.Instant
        var unrouted: UnroutedTopics?
        /// A Boolean value indicating whether events wait although nothing is due, because others have changed rows.
        var isStranded = false
        /// The time from which waiting events count as stranded although some are due later.
        var nextRepair: AnyClock.Instant
        /// A Boolean value indicating whether the relay has nothing to do until something happens or some time passes.
        var isWaiting = false
        /// A signal that is raised when the activity of the relay changes, if somebody waits for it.
        var change: Signal?
    }

    enum Phase: Sendable {
        case idle, running, stopping, stopped
    }

    private let store: any OutboxStore
    private let bus: EventBus
    private let settings: Configuration
    let clock: AnyClock
    let wallClock: WallClock
    let logger: Logger
    private let metrics: RelayMetrics
    private let wakeUp = WakeUp()
    let state: Locked<State>

    /// Creates a relay from a store to `bus`.
    ///
    /// - Parameter makeStore: A function that returns the store for the corrected settings.
    package init(
        bus: EventBus,
        configuration: Configuration,
        logger: Logger,
        metrics: any MetricsFactory,
        wallClock: WallClock? = nil,
        makeStore: (StoreSettings) throws -> any OutboxStore
    ) rethrows {
        let settings = configuration.corrected
        let wallClock = wallClock ?? WallClock(bus.clock)
        self.store = try makeStore(StoreSettings(settings, maximumDelay: bus.maximumDelay, wallClock: wallClock))
        self.bus = bus
        self.settings = settings
        self.clock = bus.clock
        self.wallClock = wallClock
        self.logger = logger
        self.metrics = RelayMetrics(factory: metrics)
        let now = bus.clock.now
        self.state = Locked(
            State(machine: RelayStateMachine(settings: settings, now: now), nextMeasurement: now, nextRepair: now)
        )
    }

    /// Publishes events until a graceful shutdown, which finishes the batches in flight and writes their outcomes.
    ///
    /// A cancellation does not wait for the broker: events that are not confirmed are published again by the next
    /// relay.
    ///
    /// - Throws: `EventBusError` with code `.alreadyRunning` on a second call. Errors of the database and of the broker
    ///   do not end the relay: it tries again, and ``health()`` reports them.
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

    private func stop() {
        state.withLock { state in
            if state.phase == .running { state.phase = .stopping }
            state.machine.stop()
        }
        wakeUp.call()
    }

    // MARK: Main loop

    private func work() async {
        let monitor = bus.activityMonitor
        monitor?.add(self)
        defer { monitor?.remove(self) }
        let endObservation = store.observeCommits { [weak self] in self?.look() }
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
        endObservation()
        await finish()
        await store.close()
        let change = state.withLock { state in
            state.phase = .stopped
            return state.takeChange()
        }
        change?.raise()
    }

    private func nextStep() -> RelayStateMachine.Step? {
        let (now, wallTime) = (clock.now, wallClock.now)
        let (step, change) = state.withLock { state in
            let step = state.phase == .running ? state.machine.next(now: now, wallTime: wallTime) : nil
            state.isWaiting = if case .wait = step { true } else { false }
            return (step, state.takeChange())
        }
        change?.raise()
        return step
    }

    /// Records that there may be new events.
    private func look() {
        let change = state.withLock { state in
            state.machine.look()
            state.isWaiting = false
            return state.takeChange()
        }
        change?.raise()
        wakeUp.call()
    }

    // MARK: Publishing

    private func publish(_ batch: RelayStateMachine.Batch) async {
        let outcomes = await outcomes(of: batch.events)
        let (now, wallTime) = (clock.now, wallClock.now)
        let (givenUp, before, after) = state.withLock { state in
            let before = state.machine.trouble
            let givenUp = state.machine.finish(batch, outcomes: outcomes, now: now, wallTime: wallTime)
            state.isWaiting = false
            return (givenUp, before, state.machine.trouble)
        }
        metrics.notePublished(outcomes.count { if case .published = $0 { true } else { false } })
        if !givenUp.isEmpty { metrics.noteGivenUp(givenUp.count) }
        for (event, failure) in givenUp { log(event, parkedBy: failure) }
        log(after, after: before)
        wakeUp.call()
    }

    private func outcomes(of events: [StoredEvent]) async -> [RelayStateMachine.Outcome] {
        let wallTime = wallClock.now
        let isDelayed = events.contains { $0.delay(at: wallTime) > .zero }
        guard isDelayed else { return await sendTogether(events) }
        // Delays differ between events, so these are published individually and concurrently.
        return await withTaskGroup(of: (Int, RelayStateMachine.Outcome?).self) { group in
            for (index, event) in events.enumerated() {
                group.addTask { (index, await self.send([event], delay: event.delay(at: wallTime)).first) }
            }
            var outcomes = [RelayStateMachine.Outcome](repeating: .held(CancellationError()), count: events.count)
            for await (index, outcome) in group {
                if let outcome { outcomes[index] = outcome }
            }
            return outcomes
        }
    }

    /// Publishes events without a delay. Those with a large body are published apart from the others, because the store of
    /// large bodies may not answer.
    private func sendTogether(_ events: [StoredEvent]) async -> [RelayStateMachine.Outcome] {
        let large = events.indices.filter { bus.storesBody(of: events[$0].envelope) }
        guard !large.isEmpty, large.count < events.count else { return await send(events, delay: .zero) }
        let areLarge = Set(large)
        let small = events.indices.filter { !areLarge.contains($0) }
        async let outcomesOfLarge = send(large.map { events[$0] }, delay: .zero)
        async let outcomesOfSmall = send(small.map { events[$0] }, delay: .zero)
        var outcomes: [Int: RelayStateMachine.Outcome] = [:]
        for (index, outcome) in zip(small, await outcomesOfSmall) { outcomes[index] = outcome }
        for (index, outcome) in zip(large, await outcomesOfLarge) { outcomes[index] = outcome }
        return events.indices.map { outcomes[$0] ?? .held(CancellationError()) }
    }

    private func send(_ events: [StoredEvent], delay: Duration) async -> [RelayStateMachine.Outcome] {
        let options = PublishOptions(deadline: settings.publishTimeout, delay: delay)
        do {
            // A transport that does not keep the deadline must not delay other events.
            let limit = clock.now.advanced(by: settings.publishTimeout * 5 / 4)
            let results = try await withDeadline(limit, clock: clock) { [bus] in
                try await bus.publish(contentsOf: events.map(\.envelope), options: options)
            }
            guard let results else {
                throw EventBusError(.indeterminate, "the transport gave no outcome by the deadline")
            }
            return zip(events, results).map { event, result in outcome(of: event, result, delay: delay) }
        } catch {
            return events.map { _ in RelayStateMachine.Outcome(error, delay: delay) }
        }
    }

    private func outcome(
        of event: StoredEvent,
        _ result: Result<PublishReceipt, any Error>,
        delay: Duration
    ) -> RelayStateMachine.Outcome {
        switch result {
        case .success(let receipt):
            let isMissed = receipt.outcome == .unroutable && (settings.requiresSubscriber || event.requiresSubscriber)
            return isMissed ? .unrouted : .published
        case .failure(let error):
            return RelayStateMachine.Outcome(error, delay: delay)
        }
    }

    // MARK: Database

    /// Writes the outcomes of events, renews the lease, and reads more events, all in one transaction.
    private func exchange() async {
        let request = state.withLock { state in
            let (settlement, busy, room) = state.machine.beginExchange()
            if !settlement.isEmpty { state.isChanged = true }
            return ExchangeRequest(
                settlement: settlement,
                busy: busy,
                room: room,
                isStranded: state.isStranded
            )
        }
        do {
            let answer = try await store.exchange(request)
            let now = clock.now
            guard let answer else { return standBy(now: now) }
            state.withLock { state in
                state.machine.load(answer.taking, leaseEnd: answer.leaseEnd, isStale: answer.isStale, now: now)
                if answer.taking.count > 0 || answer.taking.unrouted != state.unrouted { state.isChanged = true }
                state.unrouted = answer.taking.unrouted
                state.isStranded = false
            }
            note(answer)
            await measure()
        } catch {
            let now = clock.now
            let isFirst = state.withLock { state in
                defer { state.machine.exchangeFailed(error, settlement: request.settlement, now: now) }
                // The repair may have taken too long, and must not prevent everything else.
                state.isStranded = false
                return state.machine.databaseFailure == nil
            }
            if isFirst && !Task.isCancelled {
                logger.warning(
                    "the outbox's database is unavailable",
                    metadata: [LogKeys.error: "\(String(loggable: error))"]
                )
            }
        }
    }

    private func standBy(now: AnyClock.Instant) {
        let hadLease = state.withLock { state in
            let hadLease = state.machine.leaseEnd != nil
            state.machine.standBy(now: now)
            state.backlog = nil
            state.unrouted = nil
            state.isChanged = true
            return hadLease
        }
        // The relay that publishes reports from now on.
        if hadLease { metrics.record(OutboxBacklog(count: 0, oldestAge: nil, parked: 0)) }
    }

    private func note(_ answer: ExchangeAnswer) {
        if !answer.taking.unreadable.isEmpty { metrics.noteGivenUp(answer.taking.unreadable.count) }
        for parking in answer.taking.unreadable { log(parking) }
        for topic in answer.newlyUnrouted { log(unroutedTopic: topic) }
    }

    /// Measures the backlog when all work is done, and at intervals while it is not.
    private func measure() async {
        let now = clock.now
        let isTime = state.withLock { state in
            guard state.nextMeasurement <= now || (state.machine.isIdle && state.isChanged) else { return false }
            state.nextMeasurement = now.advanced(by: settings.measurementInterval)
            state.isChanged = false
            return true
        }
        guard isTime else { return }
        let backlog: OutboxBacklog
        do {
            backlog = try await store.backlog()
        } catch {
            if !Task.isCancelled {
                logger.info(
                    "the events of the outbox could not be counted",
                    metadata: [LogKeys.error: "\(String(loggable: error))"]
                )
            }
            return
        }
        let isStranded = state.withLock { state in
            state.backlog = backlog
            let others = backlog.delayed + (state.unrouted == nil ? 0 : backlog.withoutSubscriber)
            guard state.machine.isIdle, !state.machine.mustLook, backlog.count > others else {
                state.isStranded = false
                return false
            }
            // Events that are due later are no sign, so look at intervals.
            if state.machine.nextDue != nil {
                guard state.nextRepair <= now else { return false }
                state.nextRepair = now.advanced(by: Self.repairInterval)
            }
            state.isStranded = true
            return true
        }
        metrics.record(backlog)
        if isStranded { look() }
    }

    /// Writes the outcomes of the last batches, and lets another relay take over.
    private func finish() async {
        let settlement = state.withLock { $0.machine.beginExchange().settlement }
        let limit = ContinuousClock.now + Self.finishingLimit
        for attempt in 1... {
            do {
                return try await store.finish(settlement)
            } catch {
                // Another process may be writing, which takes real time even if the bus has a manual clock.
                if attempt < Self.finishingAttempts, ContinuousClock.now < limit,
                    (try? await Task.sleep(for: Self.finishingInterval)) != nil
                {
                    continue
                }
                logger.warning(
                    "could not store the last outcomes of the outbox; their events will be published again",
                    metadata: [LogKeys.error: "\(String(loggable: error))"]
                )
                return
            }
        }
    }

    private static let finishingAttempts = 20
    private static let finishingInterval = Duration.milliseconds(50)
    /// The time after which a database that does not answer is not tried again.
    private static let finishingLimit = Duration.seconds(3)
    /// The interval at which waiting events are checked while some of them are due later.
    private static let repairInterval = Duration.seconds(60)
}

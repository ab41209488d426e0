/// A queue between a transport and a subscription's workers. It stores deliveries and passes each to a free worker.
///
/// A worker is only woken, and takes its delivery under the lock. Data of one thread therefore reaches another through
/// the lock alone, which the thread sanitizer recognizes, unlike the hand-over of a continuation. It also means that a
/// burst does not need the lock for each delivery.
final class DeliveryQueue: IdleReporting {
    struct State {
        var lanes: PartitionedQueue
        /// The free workers. The one that became free last is woken first, because its memory is still cached.
        var idleWorkers: [CheckedContinuation<Void, Never>] = []
        /// The number of workers that were woken and have not checked for a delivery yet.
        var waking = 0
        /// The latest revoked generation.
        var revokedThrough: UInt64?
        /// The workers by index.
        var workers: [Worker?]
        /// The delivery that each worker is handling.
        var current: [Delivery?]
        /// The workers that were cancelled because their delivery was revoked. They take no more deliveries.
        var retired: Set<Int> = []
        /// The timers of held deliveries.
        var timers: [Delivery.Token: Task<Void, Never>] = [:]
        /// A signal that is raised when the channel has to be reopened.
        var reopening = Signal()
        /// A signal that is raised when the deliveries that are about to be returned are gone.
        var revocation: Signal?
        /// The time at which the queue was closed.
        var closedAt: AnyClock.Instant?

        func isRevoked(_ delivery: Delivery) -> Bool {
            revokedThrough.map { delivery.token.generation <= $0 } ?? false
        }

        /// A signal that is raised when nothing is being handled. It is created on request.
        var quiet: Signal?
        /// A signal that is raised when nothing but abandoned deliveries is being handled. It is created on request.
        var inactive: Signal?
        /// The closure that is called when the delivery that probes is abandoned.
        var onAbandonedProbe: (@Sendable () -> Void)?

        /// Returns the signals to raise if somebody waits for handlers to end, and none is left.
        mutating func takeIdleWaiters() -> IdleWaiters? {
            guard lanes.active == 0, quiet != nil || inactive != nil else { return nil }
            var waiters = IdleWaiters(inactive: inactive.take())
            if lanes.running == 0 { waiters.quiet = quiet.take() }
            return waiters
        }

        /// Returns a free worker to wake, if there are more deliveries than woken workers.
        mutating func takeWake() -> CheckedContinuation<Void, Never>? {
            guard !idleWorkers.isEmpty, lanes.takeable > waking else { return nil }
            waking += 1
            return idleWorkers.removeLast()
        }
    }

    /// The signals of those that wait until handlers have ended.
    struct IdleWaiters {
        var inactive: Signal?
        var quiet: Signal?

        func raise() {
            inactive?.raise()
            quiet?.raise()
        }
    }

    let options: Options
    let clock: AnyClock
    let state: Locked<State>
    /// A signal that is raised when the queue is closed and nothing but abandoned deliveries is being handled.
    let drained = Signal()

    init(_ options: Options, clock: AnyClock) {
        self.options = options
        self.clock = clock
        state = Locked(
            State(
                lanes: PartitionedQueue(byKey: options.byKey),
                workers: Array(repeating: nil, count: options.workers),
                current: Array(repeating: nil, count: options.workers)
            )
        )
    }

    /// The time of an arrival or a start, if ages are watched.
    private var now: AnyClock.Instant { options.watchesAge ? clock.now : AnyClock.Instant(offset: .zero) }

    // MARK: State

    func quiescence() -> Signal? {
        state.withLock { state in
            if state.lanes.running == 0 { return nil }
            let signal = state.quiet ?? Signal()
            state.quiet = signal
            return signal
        }
    }

    /// Returns a signal for when nothing but abandoned deliveries is being handled, or `nil` if nothing else is.
    func inactivity() -> Signal? {
        state.withLock { state in
            if state.lanes.active == 0 { return nil }
            let signal = state.inactive ?? Signal()
            state.inactive = signal
            return signal
        }
    }

    /// A Boolean value indicating whether nothing starts until the channel is reopened.
    var isPaused: Bool { state.withLock { $0.lanes.isPaused } }

    /// The numbers of deliveries that wait, that are being handled, and that are held for a retry.
    var counts: (waiting: Int, running: Int, held: Int) {
        state.withLock { ($0.lanes.waiting, $0.lanes.running, $0.lanes.heldCount) }
    }

    var isClosed: Bool { state.withLock { $0.lanes.isClosed } }

    /// Returns a Boolean value indicating whether the connection of a delivery is gone.
    func isRevoked(_ delivery: Delivery) -> Bool {
        state.withLock { $0.isRevoked(delivery) }
    }

    // MARK: Calls of the transport

    func receive(_ delivery: Delivery) {
        let now = now
        let worker = state.withLock { state in
            state.lanes.receive(delivery, at: now)
            return state.takeWake()
        }
        worker?.resume()
    }

    func receive(contentsOf deliveries: [Delivery]) {
        let now = now
        let worker = state.withLock { state in
            for delivery in deliveries { state.lanes.receive(delivery, at: now) }
            return state.takeWake()
        }
        guard let worker else { return }
        worker.resume()
        wakeWorkers()
    }

    func revoke(through generation: UInt64) {
        let cancelsRevoked = options.cancelsRevoked
        let (timers, running, cancelled, revocation) = state.withLock { state in
            var running: [(worker: Worker, delivery: Delivery)] = []
            for (place, delivery) in state.current.enumerated() {
                guard let delivery, delivery.token.generation <= generation, !state.isRevoked(delivery),
                    let worker = state.workers[place]
                else { continue }
                running.append((worker, delivery))
            }
            state.revokedThrough = max(state.revokedThrough ?? generation, generation)
            let held = state.lanes.revoke(through: generation)
            // The queue of a broadcast may have ended with its connection. A closed one was only set aside.
            if options.tooOld == .returnsAll, !state.lanes.isClosed { state.lanes.forgetAll() }
            let timers = held.compactMap { state.timers.removeValue(forKey: $0) }
            var cancelled: [(place: Int, worker: Worker, delivery: Delivery)] = []
            for (place, delivery) in state.current.enumerated() where cancelsRevoked {
                guard let delivery, delivery.token.generation <= generation, let worker = state.workers[place] else {
                    continue
                }
                if state.retired.insert(place).inserted { cancelled.append((place, worker, delivery)) }
                if worker.isExpired { state.lanes.leaveKey(ofAbandoned: delivery) }
            }
            let isEmpty = state.lanes.waiting == 0 && state.lanes.heldCount == 0
            return (timers, running, cancelled, isEmpty ? state.revocation.take() : nil)
        }
        revocation?.raise()
        for timer in timers { timer.cancel() }
        wakeWorkers()
        guard !running.isEmpty else { return }
        // Observers and cancellation run user code, which must not run on the thread of a connection.
        Task {
            for (worker, delivery) in running { worker.currentAttempt.reportRevocation(of: delivery) }
            for (_, worker, _) in cancelled { worker.cancel() }
        }
        for (place, worker, delivery) in cancelled { abandonAfterGrace(delivery, of: worker, at: place) }
    }

    // MARK: Calls of the workers

    /// Assigns an index to a worker, whose task calls ``next(for:finishing:)``.
    func seat(_ worker: Worker, at place: Int) {
        state.withLock { state in
            state.workers[place] = worker
            state.retired.remove(place)
        }
    }

    /// Releases the worker at an index, because a worker retains the queue.
    func clear(_ place: Int) {
        state.withLock { $0.workers[place] = nil }
    }

    /// Returns the next delivery for a worker, which has finished `finished`.
    ///
    /// - Returns: `nil` if there will be none for this worker, because the queue is closed or the worker was cancelled.
    func next(for place: Int, finishing finished: Delivery? = nil) async -> TrackedDelivery? {
        if let finished {
            switch look(for: place, finishing: finished, isWoken: false) {
            case .go(let delivery): return delivery
            case .end: return nil
            case .wait: break
            }
        }
        while true {
            await withCheckedContinuation { continuation in
                let hasNews = state.withLock { state in
                    guard state.lanes.takeable > state.waking || state.lanes.isClosed || state.retired.contains(place)
                    else {
                        state.idleWorkers.append(continuation)
                        return false
                    }
                    state.waking += 1
                    return true
                }
                if hasNews { continuation.resume() }
            }
            switch look(for: place, finishing: nil, isWoken: true) {
            case .go(let delivery): return delivery
            case .end: return nil
            case .wait: continue
            }
        }
    }

    /// The result of a worker's check for a delivery.
    private enum Finding {
        case go(TrackedDelivery)
        case end
        case wait
    }

    private func look(for place: Int, finishing finished: Delivery?, isWoken: Bool) -> Finding {
        let now = now
        let (finding, isDrained, worker, quiet, reopening) = state.withLock { state in
            if isWoken { state.waking -= 1 }
            if let finished { state.lanes.finish(finished) }
            state.current[place] = nil
            if !state.retired.isEmpty, state.retired.contains(place) {
                let isDrained = state.lanes.isClosed && state.lanes.active == 0
                return (Finding.end, isDrained, state.takeWake(), state.takeIdleWaiters(), Signal?.none)
            }
            if let delivery = state.lanes.take() {
                if options.tooOld == .reopensChannel, isTooOld(delivery, at: now) {
                    // It has not probed, so another delivery may.
                    if delivery.isProbe { state.lanes.gate = .probe }
                    state.lanes.putBack(delivery)
                    state.lanes.pause()
                    return (Finding.wait, false, nil, state.takeIdleWaiters(), state.reopening)
                }
                state.current[place] = delivery.delivery
                // A finished delivery that was handled alone may have blocked several others.
                return (Finding.go(delivery), false, state.takeWake(), nil, nil)
            }
            let isEnd = state.lanes.isClosed
            return (isEnd ? .end : .wait, isEnd && state.lanes.active == 0, nil, state.takeIdleWaiters(), nil)
        }
        if isDrained { drained.raise() }
        quiet?.raise()
        reopening?.raise()
        if let worker {
            worker.resume()
            wakeWorkers()
        }
        return finding
    }

    /// Returns a Boolean value indicating whether a delivery has waited too long for its next attempt.
    private func isTooOld(_ tracked: TrackedDelivery, at now: AnyClock.Instant) -> Bool {
        let limit = tracked.isUntried ? options.maximumWait : options.maximumAge
        return options.watchesAge && tracked.arrival.duration(to: now) > limit
    }

    /// Takes the deliveries that have to be returned to the broker instead of handling one that was just taken, which is
    /// among them if there are any.
    func takeTooOld(with taken: TrackedDelivery) -> [TrackedDelivery] {
        let now = now
        switch options.tooOld {
        case .reopensChannel: return []
        case .returns: return isTooOld(taken, at: now) ? [taken] : []
        case .returnsAll:
            // While the subscription is paused, nothing else finds out about the others.
            return takeAll(with: taken) { lanes in
                if isTooOld(taken, at: now) { return true }
                guard taken.isProbe, let oldest = lanes.oldestArrival else { return false }
                return oldest.duration(to: now) > options.maximumWait
            }
        }
    }

    /// Takes all deliveries that no worker is handling, to return them to the broker, and stores their known state for
    /// their redelivery.
    ///
    /// - Parameters:
    ///   - taken: A delivery that a worker is handling and that is returned too.
    ///   - condition: The condition under which they are taken.
    /// - Returns: The deliveries, in the order in which the broker has delivered them.
    func takeAll(
        with taken: TrackedDelivery? = nil,
        if condition: (PartitionedQueue) -> Bool = { _ in true }
    ) -> [TrackedDelivery] {
        let now = clock.now
        let (all, timers) = state.withLock { state -> ([TrackedDelivery], [Task<Void, Never>]) in
            guard condition(state.lanes) else { return ([], []) }
            let all = state.lanes.takeAll(with: taken, at: now)
            return (all, all.compactMap { state.timers.removeValue(forKey: $0.delivery.token) })
        }
        for timer in timers { timer.cancel() }
        return all
    }

    /// Records that a worker has finished its delivery and takes no other one.
    func finish(_ delivery: Delivery, by place: Int) {
        let (isDrained, quiet) = state.withLock { state in
            state.lanes.finish(delivery)
            state.current[place] = nil
            return (state.lanes.isClosed && state.lanes.active == 0, state.takeIdleWaiters())
        }
        if isDrained { drained.raise() }
        quiet?.raise()
        wakeWorkers()
    }

    // MARK: Retries

    /// Keeps a delivery until its next attempt is due. Its worker is free.
    ///
    /// - Returns: `true` if it is held. Otherwise the subscription is stopping or the delivery was revoked, and the
    ///   worker still has it.
    func hold(_ tracked: TrackedDelivery, until due: AnyClock.Instant, by place: Int) -> Bool {
        let token = tracked.delivery.token
        let (isHeld, quiet) = state.withLock { state in
            guard !state.lanes.isClosed, !state.isRevoked(tracked.delivery) else {
                if !state.isRevoked(tracked.delivery) { state.lanes.rememberReturned(tracked) }
                return (false, IdleWaiters?.none)
            }
            state.lanes.hold(tracked)
            state.current[place] = nil
            return (true, state.takeIdleWaiters())
        }
        guard isHeld else { return false }
        let timer = Task { [clock] in
            try? await clock.sleep(until: due)
            // If the task was cancelled, the delivery is no longer held.
            if !Task.isCancelled { self.release(token) }
        }
        let isOver = state.withLock { state in
            if state.lanes.isHeld(token) { state.timers[token] = timer }
            return !state.lanes.isHeld(token)
        }
        if isOver { timer.cancel() }
        quiet?.raise()
        // A delivery that was handled alone may have blocked others.
        wakeWorkers()
        return true
    }

    private func release(_ token: Delivery.Token) {
        let worker = state.withLock { state in
            state.timers[token] = nil
            return state.lanes.release(token) ? state.takeWake() : nil
        }
        worker?.resume()
    }

    // MARK: Pausing

    /// Returns a taken delivery to the front.
    ///
    /// - Returns: `true` if it was returned. Otherwise the subscription is stopping or the delivery was revoked, and
    ///   the worker still has it.
    func putBack(_ tracked: TrackedDelivery, by place: Int) -> Bool {
        let (isBack, quiet) = state.withLock { state in
            guard !state.lanes.isClosed, !state.isRevoked(tracked.delivery) else { return (false, IdleWaiters?.none) }
            state.lanes.putBack(tracked)
            state.current[place] = nil
            return (true, state.takeIdleWaiters())
        }
        guard isBack else { return false }
        quiet?.raise()
        wakeWorkers()
        return true
    }

    /// Lets nothing start.
    func closeGate() {
        state.withLock { $0.lanes.gate = .closed }
    }

    /// Lets one delivery start, after workers are woken. By key, everything is first returned to the broker if a
    /// delivery has waited too long.
    ///
    /// - Returns: The signal to raise if the channel has to be reopened.
    func openGateForProbe() -> Signal? {
        let now = now
        return state.withLock { state in
            state.lanes.gate = .probe
            guard options.tooOld == .reopensChannel, let oldest = state.lanes.oldestArrival,
                oldest.duration(to: now) > options.maximumWait
            else { return nil }
            state.lanes.pause()
            return state.reopening
        }
    }

    /// Lets all deliveries start again, after workers are woken.
    func openGate(afterPauseSince start: AnyClock.Instant, at now: AnyClock.Instant) {
        state.withLock { $0.lanes.openGate(afterPauseSince: start, at: now) }
    }

    // MARK: Reopening the channel

    /// A signal that is raised when a delivery has waited too long and the channel has to be reopened.
    var reopening: Signal { state.withLock { $0.reopening } }

    /// Lets nothing start, and requests that the channel is reopened.
    func requestReopening() {
        let reopening = state.withLock { state in
            state.lanes.pause()
            return state.reopening
        }
        reopening.raise()
    }

    /// Stores the known state of the deliveries that are about to be returned.
    ///
    /// - Returns: A signal that is raised when they are gone.
    func prepareReopening() -> Signal {
        let now = clock.now
        return state.withLock { state in
            state.lanes.rememberAll(at: now)
            let revocation = Signal()
            state.revocation = revocation
            return revocation
        }
    }

    /// Continues after the channel was reopened.
    func resume() {
        let now = now
        state.withLock { state in
            state.reopening = Signal()
            state.lanes.resume(at: now)
        }
        wakeWorkers()
    }

    // MARK: Closing

    /// Closes the queue and returns the deliveries that no worker is handling.
    func close() -> [TrackedDelivery] {
        let now = now
        let (left, workers, timers, isDrained) = state.withLock { state in
            let left = state.lanes.close()
            state.closedAt = now
            let workers = state.idleWorkers
            let timers = state.timers.values.map { $0 }
            state.idleWorkers = []
            state.timers = [:]
            state.onAbandonedProbe = nil
            state.waking += workers.count
            return (left, workers, timers, state.lanes.active == 0)
        }
        for timer in timers { timer.cancel() }
        for worker in workers { worker.resume() }
        if isDrained { drained.raise() }
        return left
    }

    /// Removes and returns the known state of the events that were returned by the close, for the subscription's next
    /// session. The time since then does not count towards the time for retries.
    ///
    /// It is empty if retries are not held here, because the broker then knows the attempts. By key, it is also empty after
    /// a time in which another instance may have made all of them.
    func takeKnown() -> [ArrivalKey: TrackedDelivery] {
        let now = now
        let (known, closedAt) = state.withLock { ($0.lanes.takeKnown(), $0.closedAt) }
        guard options.tooOld != .returns, let closedAt else { return [:] }
        if options.tooOld == .reopensChannel, closedAt.duration(to: now) > options.maximumAge { return [:] }
        return known.mapValues { tracked in
            var tracked = tracked
            tracked.extend(byPauseSince: closedAt, until: now)
            return tracked
        }
    }

    /// Takes over the known state of the events that the subscription's previous session has returned.
    func inherit(_ known: [ArrivalKey: TrackedDelivery]) {
        if !known.isEmpty { state.withLock { $0.lanes.inherit(known) } }
    }

    /// Waits until the queue is closed and nothing but abandoned deliveries is being handled.
    ///
    /// - Throws: `CancellationError` if the task is cancelled first.
    func waitUntilDrained() async throws {
        try await drained.wait()
    }

    /// Wakes as many free workers as there are deliveries that may start.
    func wakeWorkers() {
        while let worker = state.withLock({ $0.takeWake() }) { worker.resume() }
    }
}

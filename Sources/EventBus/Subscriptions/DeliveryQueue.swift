/// Between a transport and a subscription's workers: stores what arrives, and gives it to a worker that is free.
///
/// A worker is only woken, and takes its delivery under the lock itself. So what one thread made reaches another through
/// the lock alone, which the thread sanitizer sees (a continuation's own hand-over it does not), and a burst needs no
/// lock for each delivery.
final class DeliveryQueue: QuiescentSink {
    /// What is done with a delivery that waited too long for its first attempt.
    enum TooOld {
        /// It begins all the same.
        case begins
        /// It alone is returned to the broker.
        case returns
        /// Everything is returned in order: the channel is closed and opened again.
        case reopensChannel
    }

    struct Options {
        var byKey = false
        /// How many workers there are at most.
        var workers = 1
        /// Whether a handler whose delivery was revoked is cancelled.
        var cancelsRevoked = true
        var tooOld = TooOld.begins
        /// How long a delivery may wait for its first attempt.
        var maximumWait = Duration.zero
        /// Whether arrivals are noted.
        var watchesAge = false
    }

    private struct State {
        var lanes: DeliveryLanes
        /// Free workers; the latest is woken first, since its memory is still warm.
        var idleWorkers: [CheckedContinuation<Void, Never>] = []
        /// Workers that were woken and have not looked yet.
        var waking = 0
        /// The latest generation that was revoked.
        var revokedThrough: UInt64?
        /// The workers by their places.
        var workers: [Worker?]
        /// What each worker is handling.
        var current: [Delivery.Token?]
        /// Workers that were cancelled because their delivery was revoked: they take nothing more.
        var retired: Set<Int> = []
        /// The timers of the deliveries that are held.
        var timers: [Delivery.Token: Task<Void, Never>] = [:]
        /// Raised when the channel has to be reopened.
        var reopening = Signal()

        func isRevoked(_ delivery: Delivery) -> Bool {
            revokedThrough.map { delivery.token.generation <= $0 } ?? false
        }

        /// Raised when nothing is being handled; made when someone asks for it.
        var quiet: Signal?

        /// The signal to raise, if nothing is being handled and someone waits for that.
        mutating func takeQuiet() -> Signal? {
            guard lanes.running == 0 else { return nil }
            defer { quiet = nil }
            return quiet
        }

        /// A free worker to wake, if there is more to do than the woken ones will find.
        mutating func takeWake() -> CheckedContinuation<Void, Never>? {
            guard !idleWorkers.isEmpty, lanes.takeable > waking else { return nil }
            waking += 1
            return idleWorkers.removeLast()
        }
    }

    private let options: Options
    private let clock: AnyClock
    private let state: Locked<State>
    private let drained = Signal()

    init(_ options: Options, clock: AnyClock) {
        self.options = options
        self.clock = clock
        state = Locked(
            State(
                lanes: DeliveryLanes(byKey: options.byKey),
                workers: Array(repeating: nil, count: options.workers),
                current: Array(repeating: nil, count: options.workers)
            )
        )
    }

    /// The time at which something arrives or begins, where ages are watched.
    private var now: AnyClock.Instant { options.watchesAge ? clock.now : AnyClock.Instant(offset: .zero) }

    // MARK: What others see

    func quiescence() -> Signal? {
        state.withLock { state in
            if state.lanes.running == 0 { return nil }
            let signal = state.quiet ?? Signal()
            state.quiet = signal
            return signal
        }
    }

    /// Deliveries that wait, that are being handled, and that are held for a retry.
    var counts: (waiting: Int, running: Int, held: Int) {
        state.withLock { ($0.lanes.waiting, $0.lanes.running, $0.lanes.heldCount) }
    }

    var isClosed: Bool { state.withLock { $0.lanes.isClosed } }

    /// Whether the connection of a delivery is gone.
    func isRevoked(_ delivery: Delivery) -> Bool {
        state.withLock { $0.isRevoked(delivery) }
    }

    // MARK: For the transport

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
        let (timers, workers) = state.withLock { state in
            state.revokedThrough = max(state.revokedThrough ?? generation, generation)
            let held = state.lanes.revoke(through: generation)
            let timers = held.compactMap { state.timers.removeValue(forKey: $0) }
            var workers: [Worker] = []
            for (place, token) in state.current.enumerated() where cancelsRevoked {
                guard let token, token.generation <= generation, let worker = state.workers[place] else { continue }
                if state.retired.insert(place).inserted { workers.append(worker) }
            }
            return (timers, workers)
        }
        for timer in timers { timer.cancel() }
        wakeWorkers()
        guard !workers.isEmpty else { return }
        // Cancelling runs code of the user's, which has no place on the thread of a connection.
        Task { for worker in workers { worker.cancel() } }
    }

    // MARK: For the workers

    /// Gives a place to a worker; its task calls ``next(for:finishing:)``.
    func seat(_ worker: Worker, at place: Int) {
        state.withLock { state in
            state.workers[place] = worker
            state.retired.remove(place)
        }
    }

    /// Lets go of the worker at a place, which holds the queue.
    func clear(_ place: Int) {
        state.withLock { $0.workers[place] = nil }
    }

    /// The next delivery for a worker, which is done with `finished`.
    ///
    /// - Returns: `nil` when there will be none for this worker: the queue is closed, or the worker was cancelled.
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

    /// What a worker finds when it looks.
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
                let isDrained = state.lanes.isClosed && state.lanes.running == 0
                return (Finding.end, isDrained, state.takeWake(), state.takeQuiet(), Signal?.none)
            }
            if let delivery = state.lanes.take() {
                if options.tooOld == .reopensChannel, isTooOld(delivery, at: now) {
                    state.lanes.putBack(delivery)
                    state.lanes.pause()
                    return (Finding.wait, false, nil, state.takeQuiet(), state.reopening)
                }
                state.current[place] = delivery.delivery.token
                // A finished delivery may have set free more than one: those it kept out alone.
                return (Finding.go(delivery), false, state.takeWake(), nil, nil)
            }
            let isEnd = state.lanes.isClosed
            return (isEnd ? .end : .wait, isEnd && state.lanes.running == 0, nil, state.takeQuiet(), nil)
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

    /// Whether a delivery waited too long for its first attempt.
    private func isTooOld(_ tracked: TrackedDelivery, at now: AnyClock.Instant) -> Bool {
        options.watchesAge && tracked.isUntried && tracked.arrival.duration(to: now) > options.maximumWait
    }

    /// Whether a delivery that was just taken is to be returned to the broker instead of being handled.
    func isToBeReturned(_ tracked: TrackedDelivery) -> Bool {
        options.tooOld == .returns && isTooOld(tracked, at: now)
    }

    /// Notes that a worker is done with its delivery and takes no other.
    func finish(_ delivery: Delivery, by place: Int) {
        let (isDrained, quiet) = state.withLock { state in
            state.lanes.finish(delivery)
            state.current[place] = nil
            return (state.lanes.isClosed && state.lanes.running == 0, state.takeQuiet())
        }
        if isDrained { drained.raise() }
        quiet?.raise()
        wakeWorkers()
    }

    // MARK: Retries

    /// Keeps a delivery until its next attempt is due; its worker is free.
    ///
    /// - Returns: Whether it is held. If not, the subscription stops or the delivery was revoked, and the worker still
    ///   has it.
    func hold(_ tracked: TrackedDelivery, until due: AnyClock.Instant, by place: Int) -> Bool {
        let token = tracked.delivery.token
        let (isHeld, quiet) = state.withLock { state in
            guard !state.lanes.isClosed, !state.isRevoked(tracked.delivery) else { return (false, Signal?.none) }
            state.lanes.hold(tracked)
            state.current[place] = nil
            return (true, state.takeQuiet())
        }
        guard isHeld else { return false }
        let timer = Task { [clock] in
            try? await clock.sleep(until: due)
            // Cancelled: it is not held any more.
            if !Task.isCancelled { self.release(token) }
        }
        let isOver = state.withLock { state in
            if state.lanes.isHeld(token) { state.timers[token] = timer }
            return !state.lanes.isHeld(token)
        }
        if isOver { timer.cancel() }
        quiet?.raise()
        // One that ran alone may have kept others out.
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

    /// Returns a delivery that was taken to the front.
    ///
    /// - Returns: Whether it is back. If not, the subscription stops or the delivery was revoked, and the worker still has
    ///   it.
    func putBack(_ tracked: TrackedDelivery, by place: Int) -> Bool {
        let (isBack, quiet) = state.withLock { state in
            guard !state.lanes.isClosed, !state.isRevoked(tracked.delivery) else { return (false, Signal?.none) }
            state.lanes.putBack(tracked)
            state.current[place] = nil
            return (true, state.takeQuiet())
        }
        guard isBack else { return false }
        quiet?.raise()
        wakeWorkers()
        return true
    }

    /// Lets nothing begin.
    func closeGate() {
        state.withLock { $0.lanes.gate = .closed }
    }

    /// Lets one delivery begin, once workers are woken. By key, everything is returned to the broker first if a delivery
    /// has waited too long.
    ///
    /// - Returns: The signal to raise, if the channel has to be reopened.
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

    /// Lets everything begin again, once workers are woken.
    func openGate(after pause: Duration) {
        state.withLock { $0.lanes.openGate(after: pause) }
    }

    // MARK: Reopening the channel

    /// Raised when something waited too long, and the channel has to be reopened.
    var reopening: Signal { state.withLock { $0.reopening } }

    /// Lets nothing begin, and asks for the channel to be reopened.
    func requestReopening() {
        let reopening = state.withLock { state in
            state.lanes.pause()
            return state.reopening
        }
        reopening.raise()
    }

    /// Keeps what is known of the deliveries that are about to be returned.
    func prepareReopening() {
        state.withLock { $0.lanes.rememberAll() }
    }

    /// Goes on after the channel was reopened.
    func resume() {
        let now = now
        state.withLock { state in
            state.reopening = Signal()
            state.lanes.resume(at: now)
        }
        wakeWorkers()
    }

    // MARK: The end

    /// Ends the queue and returns what no worker is handling.
    func close() -> [TrackedDelivery] {
        let (left, workers, timers, isDrained) = state.withLock { state in
            let left = state.lanes.close()
            let workers = state.idleWorkers
            let timers = state.timers.values.map { $0 }
            state.idleWorkers = []
            state.timers = [:]
            state.waking += workers.count
            return (left, workers, timers, state.lanes.running == 0)
        }
        for timer in timers { timer.cancel() }
        for worker in workers { worker.resume() }
        if isDrained { drained.raise() }
        return left
    }

    /// Waits until the queue is closed and no delivery is being handled.
    ///
    /// - Throws: `CancellationError` when the task is cancelled first.
    func waitUntilDrained() async throws {
        try await drained.wait()
    }

    /// Wakes as many free workers as there are deliveries that may begin.
    func wakeWorkers() {
        while let worker = state.withLock({ $0.takeWake() }) { worker.resume() }
    }
}

/// Between a transport and a subscription's workers: stores what arrives, and gives it to whoever is free.
///
/// A worker is only woken, and takes its delivery under the lock itself. So what one thread made reaches another through
/// the lock alone, which the thread sanitizer sees (a continuation's own hand-over it does not), and a burst needs no
/// lock for each delivery.
final class DeliveryQueue: QuiescentSink {
    private struct State {
        var lanes: DeliveryLanes
        /// Free workers; the latest is woken first, since its memory is still warm.
        var idleWorkers: [CheckedContinuation<Void, Never>] = []
        /// Workers that were woken and have not looked yet.
        var waking = 0
        /// The latest generation that was revoked.
        var revokedThrough: UInt64?
        /// Raised at the next revocation.
        var nextRevocation = Signal()

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

    private let state: Locked<State>
    private let drained = Signal()

    init(byKey: Bool) {
        state = Locked(State(lanes: DeliveryLanes(byKey: byKey)))
    }

    func quiescence() -> Signal? {
        state.withLock { state in
            if state.lanes.running == 0 { return nil }
            let signal = state.quiet ?? Signal()
            state.quiet = signal
            return signal
        }
    }

    /// Deliveries that wait and that are being handled.
    var counts: (waiting: Int, running: Int) {
        state.withLock { ($0.lanes.waiting, $0.lanes.running) }
    }

    func receive(_ delivery: Delivery) {
        let worker = state.withLock { state in
            state.lanes.receive(delivery)
            return state.takeWake()
        }
        worker?.resume()
    }

    func receive(contentsOf deliveries: [Delivery]) {
        let worker = state.withLock { state in
            for delivery in deliveries { state.lanes.receive(delivery) }
            return state.takeWake()
        }
        guard let worker else { return }
        worker.resume()
        wakeWorkers()
    }

    func revoke(through generation: UInt64) {
        let revocation = state.withLock { state in
            state.lanes.revoke(through: generation)
            state.revokedThrough = max(state.revokedThrough ?? generation, generation)
            defer { state.nextRevocation = Signal() }
            return state.nextRevocation
        }
        revocation.raise()
        wakeWorkers()
    }

    /// Whether the connection that brought a delivery is gone.
    func isRevoked(_ delivery: Delivery) -> Bool {
        state.withLock { $0.isRevoked(delivery) }
    }

    /// Waits until the connection that brought a delivery is gone.
    ///
    /// - Throws: `CancellationError` when the task is cancelled first.
    func waitUntilRevoked(_ delivery: Delivery) async throws {
        while let revocation = state.withLock({ $0.isRevoked(delivery) ? nil : $0.nextRevocation }) {
            try await revocation.wait()
        }
    }

    /// The next delivery for a worker, which is done with `finished`; `nil` when there will be none.
    func next(finishing finished: Delivery? = nil) async -> Delivery? {
        if let finished {
            switch look(finishing: finished, isWoken: false) {
            case .go(let delivery): return delivery
            case .end: return nil
            case .wait: break
            }
        }
        while true {
            await withCheckedContinuation { continuation in
                let hasNews = state.withLock { state in
                    guard state.lanes.takeable > state.waking || state.lanes.isClosed else {
                        state.idleWorkers.append(continuation)
                        return false
                    }
                    state.waking += 1
                    return true
                }
                if hasNews { continuation.resume() }
            }
            switch look(finishing: nil, isWoken: true) {
            case .go(let delivery): return delivery
            case .end: return nil
            case .wait: continue
            }
        }
    }

    /// What a worker finds when it looks.
    private enum Finding {
        case go(Delivery)
        case end
        case wait
    }

    private func look(finishing finished: Delivery?, isWoken: Bool) -> Finding {
        let (finding, isDrained, worker, quiet) = state.withLock { state in
            if isWoken { state.waking -= 1 }
            if let finished { state.lanes.finish(finished) }
            if let delivery = state.lanes.take() {
                // A finished delivery may have set free more than one: those it kept out alone.
                return (Finding.go(delivery), false, state.takeWake(), Signal?.none)
            }
            let isEnd = state.lanes.isClosed
            return (isEnd ? .end : .wait, isEnd && state.lanes.running == 0, nil, state.takeQuiet())
        }
        if isDrained { drained.raise() }
        quiet?.raise()
        if let worker {
            worker.resume()
            wakeWorkers()
        }
        return finding
    }

    /// Notes that a worker is done with its delivery and takes no other.
    func finish(_ delivery: Delivery) {
        let (isDrained, quiet) = state.withLock { state in
            state.lanes.finish(delivery)
            return (state.lanes.isClosed && state.lanes.running == 0, state.takeQuiet())
        }
        if isDrained { drained.raise() }
        quiet?.raise()
        wakeWorkers()
    }

    /// Ends the queue and returns what no worker has begun.
    func close() -> [Delivery] {
        let (left, workers, isDrained) = state.withLock { state in
            let left = state.lanes.close()
            let workers = state.idleWorkers
            state.idleWorkers = []
            state.waking += workers.count
            return (left, workers, state.lanes.running == 0)
        }
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

    private func wakeWorkers() {
        while let worker = state.withLock({ $0.takeWake() }) { worker.resume() }
    }
}

/// Between a transport and a subscription's workers: stores what arrives, and gives it to whoever is free.
final class DeliveryQueue: QuiescentSink {
    private struct State {
        var lanes: DeliveryLanes
        /// Free workers; the latest is woken first, since its memory is still warm.
        var idleWorkers: [CheckedContinuation<Delivery?, Never>] = []
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

        /// Pairs a free worker with a delivery, if there are both.
        mutating func match() -> (CheckedContinuation<Delivery?, Never>, Delivery)? {
            guard !idleWorkers.isEmpty, let delivery = lanes.take() else { return nil }
            return (idleWorkers.removeLast(), delivery)
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
        let matched = state.withLock { state in
            state.lanes.receive(delivery)
            return state.match()
        }
        if let (worker, delivery) = matched { worker.resume(returning: delivery) }
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
        enum Step {
            case go(Delivery)
            case end
            case wait
        }
        let (step, isDrained, mayWakeOthers, quiet) = state.withLock { state -> (Step, Bool, Bool, Signal?) in
            if let finished { state.lanes.finish(finished) }
            if let delivery = state.lanes.take() { return (.go(delivery), false, !state.idleWorkers.isEmpty, nil) }
            if state.lanes.isClosed { return (.end, state.lanes.running == 0, false, state.takeQuiet()) }
            return (.wait, false, !state.idleWorkers.isEmpty, state.takeQuiet())
        }
        if isDrained { drained.raise() }
        quiet?.raise()
        // A finished delivery may have set free more than one: the lane behind it, and those it kept out alone.
        if mayWakeOthers { wakeWorkers() }
        switch step {
        case .go(let delivery): return delivery
        case .end: return nil
        case .wait: break
        }
        return await withCheckedContinuation { continuation in
            let immediate: Step = state.withLock { state in
                if let delivery = state.lanes.take() { return .go(delivery) }
                if state.lanes.isClosed { return .end }
                state.idleWorkers.append(continuation)
                return .wait
            }
            switch immediate {
            case .go(let delivery): continuation.resume(returning: delivery)
            case .end: continuation.resume(returning: nil)
            case .wait: break
            }
        }
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
            return (left, workers, state.lanes.running == 0)
        }
        for worker in workers { worker.resume(returning: nil) }
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
        while let (worker, delivery) = state.withLock({ $0.match() }) {
            worker.resume(returning: delivery)
        }
    }
}

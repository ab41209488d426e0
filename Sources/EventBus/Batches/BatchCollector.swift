internal import Instrumentation

/// A collector of the events of a subscription into batches.
///
/// Each event is a delivery with a worker of its own, which waits here for the outcome of its batch. Retries, inboxes,
/// dead letters and the shutdown therefore work as for single events. The worker of the first event runs the handler.
final class BatchCollector<E: Event>: Sendable {
    typealias Handler = @Sendable ([BatchedEvent<E>]) async throws -> Void

    /// A batch that is being collected.
    private final class Batch: Sendable {
        struct State {
            var members: [BatchedEvent<E>] = []
            var isClosed = false
        }

        /// The time at which the handler begins, even if the batch is not full.
        let due: AnyClock.Instant
        let isFull = Signal()
        let state = Locked(State())

        init(due: AnyClock.Instant) { self.due = due }

        /// Adds an event and returns the number of events.
        func add(_ member: BatchedEvent<E>) -> Int {
            state.withLock { state in
                state.members.append(member)
                return state.members.count
            }
        }

        /// Waits until the batch is full, or until one of two other signals is raised.
        func waitUntilFull(or other: Signal, or third: Signal) async throws {
            let isFull = isFull
            try await first {
                try await first {
                    try await isFull.wait()
                } or: {
                    try await third.wait()
                }
            } or: {
                try await other.wait()
            }
        }

        /// Returns the events. None is added any more.
        func close() -> [BatchedEvent<E>] {
            state.withLock { state in
                state.isClosed = true
                return state.members
            }
        }
    }

    private let maximumCount: Int
    private let interval: Duration
    private let handler: Handler
    /// One permit for each batch that may be handled concurrently.
    private let permits: Permits
    /// The batch that accepts events.
    private let open = Locked<Batch?>(nil)

    init(_ batching: Batching, handler: @escaping Handler) {
        self.maximumCount = batching.maximumCount
        self.interval = batching.interval
        self.handler = handler
        self.permits = Permits(batching.concurrency)
    }

    /// Handles an event in a batch.
    func handle(_ event: E, _ context: EventContext) async throws {
        while true {
            let member = BatchedEvent(event, context)
            member.beginWait()
            defer { member.endWait() }
            let outcome: BatchedEvent<E>.Outcome
            // An event that failed before runs alone, so that it cannot use up the attempts of others. Nothing joins the
            // event that probes for a paused subscription.
            if context.attempt > 1 || context.isProbe {
                outcome = await runAlone(member)
            } else {
                let (batch, count) = join(member)
                outcome = count == 1 ? await lead(batch, member) : await follow(batch, member, count)
            }
            switch outcome {
            case .handled: return
            case .failed(let error): throw error
            case .repeated: if context.isGivenUp || Task.isCancelled { throw CancellationError() }
            }
        }
    }

    /// Adds an event to the open batch, or to a new one.
    private func join(_ member: BatchedEvent<E>) -> (batch: Batch, count: Int) {
        let due = member.context.clock.now.advanced(by: interval)
        return open.withLock { open in
            let batch = open ?? Batch(due: due)
            let count = batch.add(member)
            open = count < maximumCount ? batch : nil
            return (batch, count)
        }
    }

    /// Runs the handler for an event when fewer batches than allowed are being handled.
    private func runAlone(_ member: BatchedEvent<E>) async -> BatchedEvent<E>.Outcome {
        guard (try? await permits.acquire()) != nil else { return .repeated }
        defer { permits.release() }
        return await run([member])
    }

    /// Waits until the batch is full or due and fewer batches than allowed are being handled, and runs its handler. When
    /// the subscription's session has to end or to reopen its channel, the batch is due at once, because nothing could join
    /// it.
    private func lead(_ batch: Batch, _ first: BatchedEvent<E>) async -> BatchedEvent<E>.Outcome {
        if maximumCount > 1 {
            first.context.noteWait(until: batch.due)
            // If it is cancelled, the batch is closed early and repeated below.
            let (ending, reopening) = (first.context.sessionStopping, first.context.sessionReopening)
            _ = try? await withDeadline(batch.due, clock: first.context.clock) {
                try await batch.waitUntilFull(or: ending, or: reopening)
            }
        }
        // The batch collects other events meanwhile.
        let isPermitted = (try? await permits.acquire()) != nil
        defer { if isPermitted { permits.release() } }
        open.withLock { open in
            if open === batch { open = nil }
        }
        let members = batch.close()
        let now = first.context.clock.now
        for member in members { member.context.noteWait(until: now) }
        let isGivenUp = !isPermitted || first.context.isGivenUp || Task.isCancelled
        var present = [first]
        for member in members.dropFirst() {
            if isGivenUp || member.context.isGivenUp {
                member.outcome.resolve(.repeated)
            } else {
                present.append(member)
            }
        }
        return isGivenUp ? .repeated : await run(present)
    }

    /// Waits for the outcome of a batch that another event leads.
    private func follow(_ batch: Batch, _ member: BatchedEvent<E>, _ count: Int) async -> BatchedEvent<E>.Outcome {
        if count == maximumCount {
            batch.isFull.raise()
        } else {
            member.context.noteWait(until: batch.due)
            // The handler may have begun before the wait was noted.
            if batch.state.withLock({ $0.isClosed }) { member.context.noteWait(until: member.context.clock.now) }
        }
        // Like a handler that ignores its cancellation, because the event belongs to the batch until its handler ends.
        // The first event's worker is cancelled too, no later than this one.
        return await member.outcome.wait(onCancel: {})
    }

    /// Runs the handler in the task of the first event, and tells the others their outcomes.
    ///
    /// - Returns: The outcome of the first event.
    private func run(_ members: [BatchedEvent<E>]) async -> BatchedEvent<E>.Outcome {
        for member in members { member.endWait() }
        var thrown: (any Error)?
        do {
            let context = EventCorrelation.current?.withoutDerivedIDs().serviceContext
            try await ServiceContext.$current.withValue(context) { try await handler(members) }
        } catch {
            thrown = error
        }
        let first = members[0]
        // The others are not to blame for the loss of the first event's delivery.
        let isGivenUp = thrown != nil && first.context.isGivenUp
        let others = thrown.map { first.context.timeoutError(underlying: $0) ?? $0 }
        for member in members.dropFirst() {
            member.outcome.resolve(isGivenUp ? .repeated : member.outcome(after: others))
        }
        return first.outcome(after: thrown)
    }
}

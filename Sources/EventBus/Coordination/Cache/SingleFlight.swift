/// A coordinator that lets many callers of the same keys wait for one computation.
///
/// A computation belongs to none of its callers, so it runs in a separate task. A cancelled caller leaves it, and it is
/// cancelled when the last caller has left. It inherits the task-local values of the caller that started it.
package final class SingleFlight: Sendable {
    package typealias FlightID = FlightStateMachine.FlightID
    package typealias Values = [String: any Sendable]

    /// A closure that the current computation calls when it begins to wait for another one, of any cache. It returns what
    /// the other one may need.
    @TaskLocal package static var willWait: (@Sendable () -> Void)?

    /// The keys to compute, and the way to compute them.
    package struct Plan: Sendable {
        package var keys: [String]
        package var type: ObjectIdentifier
        package var tags: Set<String>
        package var timeout: Duration
        /// The time for which a failure is returned to later callers, instead of computing again.
        package var failureTTL: Duration
        /// A closure that looks up, computes and stores the given keys. It stores only values that
        /// ``SingleFlight/isCurrent(_:for:)`` permits.
        package var fill: @Sendable (FlightID, [String]) async throws -> Values

        package init(
            keys: [String],
            type: ObjectIdentifier,
            tags: Set<String>,
            timeout: Duration,
            failureTTL: Duration = .zero,
            fill: @escaping @Sendable (FlightID, [String]) async throws -> Values
        ) {
            self.keys = keys
            self.type = type
            self.tags = tags
            self.timeout = timeout
            self.failureTTL = failureTTL
            self.fill = fill
        }
    }

    /// The values and errors of the keys that a caller asked for. A key in neither of them has no value.
    package struct Outcome: Sendable {
        package var values: Values = [:]
        package var failures: [String: any Error] = [:]
    }

    private typealias Landing = Result<Values, any Error>

    private enum Waiter {
        case parked(CheckedContinuation<Landing, Never>)
        /// The flight ended before the caller was suspended.
        case landed(Landing)
    }

    private struct State {
        var machine = FlightStateMachine()
        var failures = RecentFailures()
        var waiters: [FlightStateMachine.WaiterID: Waiter] = [:]
        var tasks: [FlightID: Task<Void, Never>] = [:]

        /// Splits the keys of a plan into those with a recent failure, with its error, and the others.
        func failures(of plan: Plan, now: AnyClock.Instant) -> (failures: [String: any Error], keys: [String]) {
            guard failures.count > 0 else { return ([:], plan.keys) }
            var failed: [String: any Error] = [:]
            let keys = plan.keys.filter { key in
                guard let error = failures.error(for: key, type: plan.type, now: now) else { return true }
                failed[key] = error
                return false
            }
            return (failed, keys)
        }
    }

    private let clock: AnyClock
    private let onFailure: @Sendable (_ keys: [String], any Error) -> Void
    private let state = Locked(State())

    /// Creates a coordinator.
    ///
    /// - Parameter onFailure: A closure that is called for each failed computation, except for cancelled ones.
    package init(
        clock: AnyClock,
        onFailure: @escaping @Sendable (_ keys: [String], any Error) -> Void = { _, _ in }
    ) {
        self.clock = clock
        self.onFailure = onFailure
    }

    /// Joins running computations, starts one for the rest, and waits for all of them.
    ///
    /// - Throws: `CancellationError` if the caller is cancelled; ``EventBusError`` with code `.reentrant` if the caller
    ///   is a computation that one of these waits for, directly or through others.
    package func outcome(of plan: Plan) async throws -> Outcome {
        try Task.checkCancellation()
        let now = clock.now
        let (failures, tickets, started) = state.withLock { state in
            let (failures, keys) = state.failures(of: plan, now: now)
            let (tickets, started) = state.machine.board(keys, type: plan.type, tags: plan.tags)
            return (failures, tickets, started)
        }
        let context = FlightContext.current
        let nodes = tickets.map { FlightGraph.Node(cache: ObjectIdentifier(self), flight: $0.flight) }
        let isCircle = context.map { !FlightGraph.shared.add($0.node, waitingFor: nodes) } ?? false
        // Even if this caller leaves immediately, because others may have joined.
        if let started { launch(started.id, started.keys, plan, path: context?.path ?? []) }
        if isCircle, let context {
            for ticket in tickets { leave(ticket) }
            throw EventBusError(
                .reentrant,
                "a computation waits for itself: \(context.description(askingFor: plan.keys)); compute what it needs "
                    + "without asking the cache for it"
            )
        }
        defer { if let context { FlightGraph.shared.remove(context.node, waitingFor: nodes) } }
        if !tickets.isEmpty { Self.willWait?() }
        var outcome = Outcome(failures: failures)
        for (index, ticket) in tickets.enumerated() {
            let landing = await landing(for: ticket)
            if Task.isCancelled {
                for ticket in tickets[index...] { leave(ticket) }
                throw CancellationError()
            }
            switch landing {
            case .success(let values):
                for key in ticket.keys { outcome.values[key] = values[key] }
            case .failure(let error):
                for key in ticket.keys { outcome.failures[key] = error }
            }
        }
        return outcome
    }

    /// Starts computations that are not running and have not failed recently, without waiting for them.
    package func refresh(_ plan: Plan) {
        let now = clock.now
        let started = state.withLock { state in
            let keys = state.failures(of: plan, now: now).keys
            return state.machine.start(keys, type: plan.type, tags: plan.tags, isBackground: true)
        }
        guard let started else { return }
        // Nobody waits for it, so nothing that it waits for can be waiting for it.
        HeldLeases.$current.withValue([]) { launch(started.id, started.keys, plan, path: []) }
    }

    /// Returns a Boolean value indicating whether the value that a flight computed for `key` may be stored.
    package func isCurrent(_ id: FlightID, for key: String) -> Bool {
        state.withLock { $0.machine.isCurrent(id, for: key) }
    }

    /// Invalidates the computations for `keys`: their values are not stored, and nobody joins them any more.
    package func void(_ keys: [String]) {
        state.withLock { state in
            state.machine.void(keys)
            state.failures.forget(keys)
        }
    }

    /// Invalidates the computations with `tag`.
    package func void(tag: String) {
        state.withLock { state in
            state.machine.void(tag: tag)
            state.failures.forget(tag: tag)
        }
    }

    /// Records that a flight begins to compute values under a claim in the store, or without one, or that it has read them.
    package func note(_ claim: String?, of keys: [String], for id: FlightID) {
        let now = clock.now
        state.withLock { state in for key in keys { state.machine.note(claim, of: key, for: id, at: now) } }
    }

    /// Invalidates the computation for `key` if it began before `time`, and its claim is not `claim`, which the store had
    /// later: the key has been removed since. A computation without a claim is invalidated only if `includesUnclaimed` is
    /// `true`.
    package func void(
        _ key: String,
        unlessUnder claim: String?,
        since time: AnyClock.Instant,
        includesUnclaimed: Bool
    ) {
        state.withLock { state in
            state.machine.void(key, unlessUnder: claim, since: time, includesUnclaimed: includesUnclaimed)
        }
    }

    private func launch(_ id: FlightID, _ keys: [String], _ plan: Plan, path: [[String]]) {
        let node = FlightGraph.Node(cache: ObjectIdentifier(self), flight: id)
        let task = FlightContext.$current.withValue(FlightContext(node: node, path: path + [keys])) {
            Self.$willWait.withValue(nil) { Task { await fly(id, keys, plan) } }
        }
        let isAloft = state.withLock { state in
            guard state.machine.isAloft(id) else { return false }
            state.tasks[id] = task
            return true
        }
        if !isAloft { task.cancel() }
    }

    private func fly(_ id: FlightID, _ keys: [String], _ plan: Plan) async {
        await withTaskGroup(of: Void.self) { group in
            group.addTask {
                do {
                    self.land(id, .success(try await plan.fill(id, keys)))
                } catch {
                    self.fail(id, keys, error, plan)
                }
            }
            group.addTask {
                guard (try? await self.clock.sleep(for: plan.timeout)) != nil else { return }
                // A computation that ignores its cancellation no longer blocks anybody.
                let message = "computing '\(keys.joined(separator: "', '"))' took longer than \(plan.timeout)"
                self.fail(id, keys, EventBusError(.timedOut, message), plan)
            }
            await group.next()
            group.cancelAll()
        }
    }

    /// Ends a failed flight. The failure is remembered for keys that have not changed meanwhile.
    private func fail(_ id: FlightID, _ keys: [String], _ error: any Error, _ plan: Plan) {
        if !(error is CancellationError) {
            let now = clock.now
            let until = now.advanced(by: plan.failureTTL)
            let isNews = state.withLock { state in
                guard state.machine.isAloft(id) else { return false }
                let current = keys.filter { state.machine.isCurrent(id, for: $0) }
                if !error.isAboutTheCaller {
                    state.failures.note(current, error, type: plan.type, tags: plan.tags, until: until, now: now)
                }
                return true
            }
            if isNews { onFailure(keys, error) }
        }
        land(id, .failure(error))
    }

    private func land(_ id: FlightID, _ landing: Landing) {
        let parked = state.withLock { state in
            state.tasks[id] = nil
            return (state.machine.land(id) ?? []).compactMap { waiter in
                if case .parked(let continuation) = state.waiters.removeValue(forKey: waiter) { return continuation }
                state.waiters[waiter] = .landed(landing)
                return nil
            }
        }
        for continuation in parked { continuation.resume(returning: landing) }
    }

    private func landing(for ticket: FlightStateMachine.Ticket) async -> Landing {
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let landing: Landing? = state.withLock { state in
                    if case .landed(let landing) = state.waiters.removeValue(forKey: ticket.waiter) { return landing }
                    if Task.isCancelled { return .failure(CancellationError()) }
                    state.waiters[ticket.waiter] = .parked(continuation)
                    return nil
                }
                if let landing { continuation.resume(returning: landing) }
            }
        } onCancel: {
            let waiter = state.withLock { state -> Waiter? in
                guard case .parked = state.waiters[ticket.waiter] else { return nil }
                return state.waiters.removeValue(forKey: ticket.waiter)
            }
            if case .parked(let continuation) = waiter { continuation.resume(returning: .failure(CancellationError())) }
        }
    }

    private func leave(_ ticket: FlightStateMachine.Ticket) {
        let task = state.withLock { state -> Task<Void, Never>? in
            state.waiters[ticket.waiter] = nil
            guard state.machine.leave(ticket) else { return nil }
            return state.tasks.removeValue(forKey: ticket.flight)
        }
        task?.cancel()
    }
}

extension Error {
    /// A Boolean value indicating whether the error of a computation concerns only its caller, so that another caller
    /// would not get it.
    package var isAboutTheCaller: Bool {
        self is CancellationError || (self as? EventBusError)?.code == .reentrant
    }
}

public import EventBus

/// A ``/EventBus/DistributedLock`` for the tasks of one process, with leases, fencing tokens and order as over a
/// network.
///
/// ```swift
/// let lock = InMemoryLock()
/// try await lock.withLock("sku-42") { lease in try await reserve("sku-42") }
/// ```
///
/// It is meant for tests and embedded services. Fencing tokens start at the current time in microseconds, so that they
/// exceed those that a guarded store has received from an earlier process.
public final class InMemoryLock: InspectableLock {
    private typealias WaiterID = LockMachine.WaiterID

    private enum Sleeper {
        case parked(CheckedContinuation<Void, Never>)
        /// The waiter was woken before it slept.
        case woken
    }

    private struct State {
        var machine: LockMachine
        var sleepers: [WaiterID: Sleeper] = [:]

        /// Records that waiters have to wake up. Returns the continuations to resume now.
        mutating func wake(_ ids: [WaiterID]) -> [CheckedContinuation<Void, Never>] {
            ids.compactMap { id in
                let sleeper = sleepers.updateValue(.woken, forKey: id)
                guard case .parked(let continuation) = sleeper else { return nil }
                sleepers[id] = nil
                return continuation
            }
        }
    }

    /// The clock that measures leases and waits.
    public let clock: AnyClock
    private let state: Locked<State>

    /// Creates a lock without holders.
    public init(clock: some Clock<Duration> = ContinuousClock()) {
        self.clock = AnyClock(clock)
        let microseconds = UInt64(clamping: EventTime.now().milliseconds) * 1000
        self.state = Locked(State(machine: LockMachine(firstToken: microseconds)))
    }

    /// Requests `resource` and waits for it for at most `wait`.
    public func acquire(_ resource: String, ttl: Duration, wait: Duration) async throws -> LockGrant {
        try await acquire(resource, share: .exclusive, ttl: ttl, wait: wait)
    }

    /// Requests a share of `resource` and waits for it for at most `wait`.
    func acquire(_ resource: String, share: LockShare, ttl: Duration, wait: Duration) async throws -> LockGrant {
        try Task.checkCancellation()
        let now = clock.now
        let acquisition = perform { $0.acquire(resource, share: share, ttl: ttl, wait: wait, now: now) }
        switch acquisition {
        case .granted(let grant): return grant
        case .queued(let id): return try await stand(in: resource, as: id, wait: wait)
        case .refused: throw timedOut(resource, wait)
        }
    }

    /// Renews a grant for its whole time to live.
    public func renew(_ grant: LockGrant) async throws -> AnyClock.Instant {
        let now = clock.now
        return try state.withLock { state throws(EventBusError) in try state.machine.renew(grant, now: now) }
    }

    /// Releases the resource and wakes the first waiter.
    public func release(_ grant: LockGrant) async throws {
        try releaseNow(grant)
    }

    /// Releases the resource immediately.
    public func abandon(_ grant: LockGrant) {
        // A grant that has already ended needs no release.
        try? releaseNow(grant)
    }

    /// Returns the holder of `resource`, or `nil` if it is free.
    public func holder(of resource: String) async throws -> LockHolder? {
        let now = clock.now
        return state.withLock { $0.machine.inspect(resource, process: ProcessName.current, now: now) }
    }

    /// Returns the holders of all resources, in no particular order and at most `limit`.
    public func holders(limit: Int) async throws -> [LockHolder] {
        let now = clock.now
        let machine = state.withLock { $0.machine }
        let holders = machine.resources.lazy
            .compactMap { machine.inspect($0, process: ProcessName.current, now: now) }
        return Array(holders.prefix(max(0, limit)))
    }

    /// Ends the grant of `holder` and hands the resource to the first waiter.
    @discardableResult
    public func forceRelease(_ holder: LockHolder) async throws -> Bool {
        let grant = LockGrant(
            resource: holder.resource,
            owner: holder.owner,
            fencingToken: holder.fencingToken,
            ttl: .zero,
            validUntil: clock.now
        )
        return (try? releaseNow(grant)) != nil
    }

    /// The number of resources that are held or waited for.
    package var count: Int { state.withLock { $0.machine.count } }

    private func releaseNow(_ grant: LockGrant) throws(EventBusError) {
        let now = clock.now
        let woken = try state.withLock { state throws(EventBusError) in
            state.wake(try state.machine.release(grant, now: now))
        }
        for continuation in woken { continuation.resume() }
    }

    /// Waits in the queue until the machine returns a result. A wake-up only means to ask again.
    private func stand(in resource: String, as id: WaiterID, wait: Duration) async throws -> LockGrant {
        defer { state.withLock { $0.sleepers[id] = nil } }
        while true {
            let now = clock.now
            if Task.isCancelled {
                perform { machine in ((), machine.cancel(id, for: resource, now: now)) }
                throw CancellationError()
            }
            switch perform({ $0.poll(id, for: resource, now: now) }) {
            case .granted(let grant): return grant
            case .wait(let until): await sleep(id, until: until)
            case .timedOut: throw timedOut(resource, wait)
            }
        }
    }

    private func sleep(_ id: WaiterID, until instant: AnyClock.Instant) async {
        await withTaskGroup(of: Void.self) { group in
            group.addTask {
                guard (try? await self.clock.sleep(until: instant)) != nil else { return }
                self.wake(id)
            }
            await withTaskCancellationHandler {
                await park(id)
            } onCancel: {
                wake(id)
            }
            group.cancelAll()
        }
    }

    private func park(_ id: WaiterID) async {
        await withCheckedContinuation { continuation in
            let isWoken = state.withLock { state in
                if case .woken = state.sleepers.removeValue(forKey: id) { return true }
                state.sleepers[id] = .parked(continuation)
                return false
            }
            if isWoken { continuation.resume() }
        }
    }

    private func wake(_ id: WaiterID) {
        let woken = state.withLock { $0.wake([id]) }
        for continuation in woken { continuation.resume() }
    }

    private func perform<R: Sendable>(_ body: (inout LockMachine) -> (R, wake: [WaiterID])) -> R {
        let (result, woken) = state.withLock { state in
            let (result, wake) = body(&state.machine)
            return (result, state.wake(wake))
        }
        for continuation in woken { continuation.resume() }
        return result
    }

    private func timedOut(_ resource: String, _ wait: Duration) -> EventBusError {
        EventBusError(.lockTimedOut, "'\(resource)' is held by another and was not free within \(wait)")
    }
}

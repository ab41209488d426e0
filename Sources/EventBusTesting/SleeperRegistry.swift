import EventBus

/// The time of a manual clock, the tasks that sleep on it, and the tasks that wait for sleepers.
final class SleeperRegistry: Sendable {
    private typealias Continuation = CheckedContinuation<Void, any Error>

    private struct Sleeper: Sendable {
        var deadline: Duration
        var continuation: Continuation
    }

    private struct Observer: Sendable {
        var isSatisfied: @Sendable (State) -> Bool
        var continuation: Continuation
    }

    private struct State: Sendable {
        var now: Duration = .zero
        var lastNumber = 0
        /// The sleepers by number, which is the order in which they fell asleep.
        var sleepers: [Int: Sleeper] = [:]
        var observers: [Int: Observer] = [:]
        /// The closures to call after each advance until they return `false`.
        var advanceHooks: [Int: @Sendable () -> Bool] = [:]
        /// The tasks that were cancelled before they suspended.
        var cancelled: Set<Int> = []

        mutating func makeNumber() -> Int {
            lastNumber += 1
            return lastNumber
        }

        /// Removes and returns the continuations of tasks whose condition on the sleepers is met.
        mutating func takeSatisfiedObservers() -> [Continuation] {
            if observers.isEmpty { return [] }
            let satisfied = observers.filter { $0.value.isSatisfied(self) }
            for number in satisfied.keys { observers[number] = nil }
            return satisfied.values.map(\.continuation)
        }
    }

    private let state = Locked(State())

    var now: Duration { state.withLock { $0.now } }
    var count: Int { state.withLock { $0.sleepers.count } }
    var nextDeadline: Duration? { state.withLock { state in state.sleepers.values.lazy.map(\.deadline).min() } }

    func onAdvance(_ body: @escaping @Sendable () -> Bool) {
        state.withLock { state in
            let number = state.makeNumber()
            state.advanceHooks[number] = body
        }
    }

    func sleep(until deadline: Duration) async throws {
        try await suspend { state, number, continuation in
            if deadline <= state.now { return false }
            state.sleepers[number] = Sleeper(deadline: deadline, continuation: continuation)
            return true
        }
    }

    func waitForSleepers(atLeast count: Int) async throws {
        try await observe { $0.sleepers.count >= count }
    }

    func waitForSleeper(dueBy instant: Duration) async throws {
        try await observe { $0.sleepers.values.contains { $0.deadline <= instant } }
    }

    private func observe(_ isSatisfied: @escaping @Sendable (State) -> Bool) async throws {
        try await suspend { state, number, continuation in
            if isSatisfied(state) { return false }
            state.observers[number] = Observer(isSatisfied: isSatisfied, continuation: continuation)
            return true
        }
    }

    /// Advances the time to the result of `change` if that is later, and resumes the tasks that are due.
    func advance(_ change: (Duration) -> Duration) {
        let due: [Continuation] = state.withLock { state in
            state.now = max(state.now, change(state.now))
            let due = state.sleepers.filter { $0.value.deadline <= state.now }
                .sorted { ($0.value.deadline, $0.key) < ($1.value.deadline, $1.key) }
            for (number, _) in due { state.sleepers[number] = nil }
            return due.map(\.value.continuation)
        }
        for continuation in due { continuation.resume() }
        let hooks = state.withLock { $0.advanceHooks }
        for (number, hook) in hooks where !hook() {
            state.withLock { _ = $0.advanceHooks.removeValue(forKey: number) }
        }
    }

    /// Suspends the task if `register` stores the continuation and returns `true`.
    private func suspend(_ register: (inout State, Int, Continuation) -> Bool) async throws {
        let number = state.withLock { $0.makeNumber() }
        try await withTaskCancellationHandler {
            defer { state.withLock { _ = $0.cancelled.remove(number) } }
            try await withCheckedThrowingContinuation { (continuation: Continuation) in
                let (result, observers): (Result<Void, any Error>?, [Continuation]) = state.withLock { state in
                    if state.cancelled.contains(number) { return (.failure(CancellationError()), []) }
                    if !register(&state, number, continuation) { return (.success(()), []) }
                    return (nil, state.takeSatisfiedObservers())
                }
                if let result { continuation.resume(with: result) }
                for observer in observers { observer.resume() }
            }
        } onCancel: {
            let continuation: Continuation? = state.withLock { state in
                if let sleeper = state.sleepers.removeValue(forKey: number) { return sleeper.continuation }
                if let observer = state.observers.removeValue(forKey: number) { return observer.continuation }
                state.cancelled.insert(number)
                return nil
            }
            continuation?.resume(throwing: CancellationError())
        }
    }
}

import DequeModule
import EventBus
import Synchronization

/// A limit on concurrent computations. It protects the backend while the cache has no server.
///
/// A computation that waits for another one gives its permit back, because the other one may need it, and continues without
/// one.
final class ConcurrencyLimiter: Sendable {
    /// A permit to compute, which is given back once.
    private final class Permit: Sendable {
        private let limiter: ConcurrencyLimiter
        private let isGivenBack = Atomic(false)

        init(of limiter: ConcurrencyLimiter) {
            self.limiter = limiter
        }

        func giveBack() {
            if !isGivenBack.exchange(true, ordering: .relaxed) { limiter.leave() }
        }
    }

    private struct State {
        var free: Int
        var nextID: UInt64 = 0
        var waiting = Deque<(id: UInt64, continuation: CheckedContinuation<Bool, Never>)>()
    }

    private let state: Locked<State>

    init(limit: Int) {
        state = Locked(State(free: limit))
    }

    /// The number of computations that wait for their turn.
    var waitingCount: Int { state.withLock { $0.waiting.count } }

    /// Runs a computation when there is a permit for it.
    func run<R: Sendable>(_ body: () async throws -> R) async throws -> R {
        try await enter()
        let permit = Permit(of: self)
        defer { permit.giveBack() }
        return try await SingleFlight.$willWait.withValue({ permit.giveBack() }) { try await body() }
    }

    private func enter() async throws {
        let id = state.withLock { state in
            state.nextID += 1
            return state.nextID
        }
        let entered = await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let immediate: Bool? = state.withLock { state in
                    if Task.isCancelled { return false }
                    if state.free > 0 {
                        state.free -= 1
                        return true
                    }
                    state.waiting.append((id, continuation))
                    return nil
                }
                if let immediate { continuation.resume(returning: immediate) }
            }
        } onCancel: {
            let cancelled = state.withLock { state in
                state.waiting.firstIndex { $0.id == id }.map { state.waiting.remove(at: $0).continuation }
            }
            cancelled?.resume(returning: false)
        }
        guard entered else { throw CancellationError() }
    }

    private func leave() {
        let next = state.withLock { state in
            let next = state.waiting.popFirst()?.continuation
            if next == nil { state.free += 1 }
            return next
        }
        next?.resume(returning: true)
    }
}

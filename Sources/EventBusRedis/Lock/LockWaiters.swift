import EventBus

/// The waiters of this process, and the messages that wake them.
final class LockWaiters: Sendable {
    typealias Token = WaiterQueues.Token

    private enum Sleeper {
        case parked(CheckedContinuation<Void, Never>)
        /// The waiter was woken before it slept.
        case woken
    }

    private struct State {
        var lines = WaiterQueues()
        var sleepers: [Token: Sleeper] = [:]
        var isListening = false
        /// A signal that is raised when it is known whether this process listens.
        let isKnown = Signal()

        /// Records that a waiter has to wake up. Returns the continuation to resume now, if there is one.
        mutating func wake(_ token: Token) -> CheckedContinuation<Void, Never>? {
            guard lines.contains(token) else { return nil }
            guard case .parked(let continuation) = sleepers.updateValue(.woken, forKey: token) else { return nil }
            sleepers[token] = nil
            return continuation
        }
    }

    private let clock: AnyClock
    private let state = Locked(State())

    init(clock: AnyClock) {
        self.clock = clock
    }

    func join(_ token: Token, for resource: String) {
        state.withLock { $0.lines.join(token, for: resource) }
    }

    func leave(_ token: Token) {
        let woken = state.withLock { state in
            state.sleepers[token] = nil
            return state.lines.leave(token).flatMap { state.wake($0) }
        }
        woken?.resume()
    }

    func isFirst(_ token: Token) -> Bool { state.withLock { $0.lines.isFirst(token) } }

    /// Wakes a waiter. Returns `false` if it does not belong to this process.
    @discardableResult
    func wake(_ token: Token) -> Bool {
        let (woken, isKnown) = state.withLock { state in
            (state.wake(token), state.lines.contains(token))
        }
        woken?.resume()
        return isKnown
    }

    /// Sleeps until the waiter is woken, the task is cancelled, or `instant` is reached.
    func sleep(_ token: Token, until instant: AnyClock.Instant) async {
        await withTaskGroup(of: Void.self) { group in
            group.addTask {
                guard (try? await self.clock.sleep(until: instant)) != nil else { return }
                self.wake(token)
            }
            await withTaskCancellationHandler {
                await self.park(token)
            } onCancel: {
                self.wake(token)
            }
            group.cancelAll()
        }
    }

    private func park(_ token: Token) async {
        await withCheckedContinuation { continuation in
            let isWoken = state.withLock { state in
                if case .woken = state.sleepers.removeValue(forKey: token) { return true }
                state.sleepers[token] = .parked(continuation)
                return false
            }
            if isWoken { continuation.resume() }
        }
    }

    // MARK: Messages

    /// A Boolean value indicating whether messages currently reach this process.
    var isListening: Bool { state.withLock { $0.isListening } }

    /// Waits until it is known whether messages reach this process, for at most `limit`.
    func settle(within limit: Duration) async throws {
        let isKnown = state.withLock { $0.isKnown }
        guard !isKnown.isRaised else { return }
        _ = try await withDeadline(clock.now.advanced(by: limit), clock: clock) { try await isKnown.wait() }
    }

    func setListening(_ isListening: Bool) {
        let (isKnown, woken) = state.withLock { state -> (Signal, [CheckedContinuation<Void, Never>]) in
            guard state.isListening != isListening else { return (state.isKnown, []) }
            state.isListening = isListening
            // Messages may have been missed, so every waiter asks again.
            return (state.isKnown, state.lines.tokens.compactMap { state.wake($0) })
        }
        isKnown.raise()
        for continuation in woken { continuation.resume() }
    }
}

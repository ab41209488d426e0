/// A limited number of permits. Tasks that wait for one get it in the order in which they asked.
package final class Permits: Sendable {
    private struct State {
        var free: Int
        var waiters: [Signal] = []
    }

    private let state: Locked<State>

    /// Creates a number of permits.
    package init(_ count: Int) {
        state = Locked(State(free: count))
    }

    /// Waits for a permit. Call ``release()`` afterwards.
    ///
    /// - Throws: `CancellationError` if the task is cancelled first.
    package func acquire() async throws {
        let waiter = state.withLock { state -> Signal? in
            guard state.free == 0 else {
                state.free -= 1
                return nil
            }
            let waiter = Signal()
            state.waiters.append(waiter)
            return waiter
        }
        guard let waiter else { return }
        do {
            try await waiter.wait()
        } catch {
            let isWaiting = state.withLock { state in
                let count = state.waiters.count
                state.waiters.removeAll { $0 === waiter }
                return state.waiters.count < count
            }
            // The permit may have arrived at the very moment of the cancellation.
            if !isWaiting { release() }
            throw error
        }
    }

    /// Returns a permit, and passes it to the next task that waits.
    package func release() {
        let next = state.withLock { state -> Signal? in
            guard !state.waiters.isEmpty else {
                state.free += 1
                return nil
            }
            return state.waiters.removeFirst()
        }
        next?.raise()
    }
}

/// What a worker is handling, for those who ask from outside its task: the watchdog, and tasks that a handler started.
final class CurrentAttempt: Sendable {
    private struct State {
        /// Rises with every attempt of the worker.
        var number: UInt64 = 0
        var context: EventContext?
        var processor: DeliveryProcessor?
    }

    private let state = Locked(State())

    /// Notes that an attempt begins; returns its number. ``end()`` has to follow.
    func begin(_ context: EventContext, of processor: DeliveryProcessor) -> UInt64 {
        state.withLock { state in
            state.number += 1
            state.context = context
            state.processor = processor
            return state.number
        }
    }

    /// Notes that the handler has returned or thrown.
    func end() {
        // Let go outside the lock, since that may run the deinitialisers of users.
        let ended = state.withLock { state in
            defer { (state.context, state.processor) = (nil, nil) }
            return (state.context, state.processor)
        }
        _ = ended
    }

    /// Whether the attempt with this number is under way.
    func isUnderWay(_ number: UInt64) -> Bool {
        state.withLock { $0.number == number && $0.context != nil }
    }

    /// Tells the middleware that the handler has passed its time limit.
    func reportTimeout() {
        let (context, processor) = state.withLock { ($0.context, $0.processor) }
        guard let context, let processor else { return }
        for step in processor.middleware { step.didTimeOut(context) }
    }
}

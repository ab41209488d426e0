/// The attempt that a worker is handling, for access from outside its task: by the watchdog, and by tasks that a
/// handler started.
final class CurrentAttempt: Sendable {
    private struct State {
        /// A number that grows with every attempt of the worker.
        var number: UInt64 = 0
        var context: EventContext?
        var processor: DeliveryProcessor?
    }

    private let state = Locked(State())

    /// Records the start of an attempt and returns its number. Call ``end()`` afterwards.
    func begin(_ context: EventContext, of processor: DeliveryProcessor) -> UInt64 {
        state.withLock { state in
            state.number += 1
            state.context = context
            state.processor = processor
            return state.number
        }
    }

    /// Records that the handler has returned or thrown.
    func end() {
        // Released outside the lock, because that may run deinitializers of users.
        let ended = state.withLock { state in
            defer { (state.context, state.processor) = (nil, nil) }
            return (state.context, state.processor)
        }
        _ = ended
    }

    /// Returns a Boolean value indicating whether the attempt with this number is running.
    func isUnderWay(_ number: UInt64) -> Bool {
        state.withLock { $0.number == number && $0.context != nil }
    }

    /// Tells the middleware that the handler has exceeded its time limit.
    func reportTimeout() {
        let (context, processor) = state.withLock { ($0.context, $0.processor) }
        guard let context, let processor, !context.isAskingInbox else { return }
        for step in processor.middleware { step.didTimeOut(context) }
    }
}

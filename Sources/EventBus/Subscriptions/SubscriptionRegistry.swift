/// The subscriptions of a bus.
final class SubscriptionRegistry: Sendable {
    private struct State {
        var runners: [SubscriptionRunner] = []
        /// The stream for new subscriptions while the bus is running.
        var feed: AsyncStream<SubscriptionRunner>.Continuation?
        var isClosed = false
    }

    private let state = Locked(State())

    /// All subscriptions that have not been cancelled.
    var runners: [SubscriptionRunner] { state.withLock { $0.runners } }

    /// Adds a subscription. A second one with the same queue name is an error, and so is one after the shutdown.
    func add(_ runner: SubscriptionRunner) {
        let error: EventBusError? = state.withLock { state in
            if state.isClosed {
                return EventBusError(.shuttingDown, "\(runner.info.queueName) came after the shutdown of its bus")
            }
            let isTaken = state.runners.contains { $0.info.queueName == runner.info.queueName && !$0.isEnded }
            if isTaken {
                return EventBusError(
                    .duplicateSubscription,
                    "the bus has a subscription \(runner.info.queueName) already: give one of them a name of its own"
                )
            }
            state.runners.append(runner)
            if runner.error == nil { state.feed?.yield(runner) }
            return nil
        }
        guard let error else { return }
        runner.fail(error)
        // Only now, when nobody can mistake it for one that works, is it added for ``open()`` and health reports.
        if error.code == .duplicateSubscription { state.withLock { $0.runners.append(runner) } }
    }

    func remove(_ runner: SubscriptionRunner) {
        state.withLock { $0.runners.removeAll { $0 === runner } }
    }

    /// Removes every subscription that has ended, except for those that failed.
    func removeEnded() {
        state.withLock { $0.runners.removeAll(where: \.isDone) }
    }

    /// Returns a stream of subscriptions: first the existing ones, then new ones as they are added.
    ///
    /// - Throws: The error of a subscription that can never work.
    func open() throws(EventBusError) -> AsyncStream<SubscriptionRunner> {
        let (stream, continuation) = AsyncStream<SubscriptionRunner>.makeStream()
        let error: EventBusError? = state.withLock { state in
            // A subscription that is being cancelled does not count.
            if let error = state.runners.lazy.compactMap(\.error).first(where: { $0.code != .shuttingDown }) {
                return error
            }
            for runner in state.runners { continuation.yield(runner) }
            state.feed = continuation
            return nil
        }
        if let error { throw error }
        return stream
    }

    /// Ends the stream, and tells every subscription to stop.
    func close() {
        let (runners, feed) = state.withLock { state in
            state.isClosed = true
            defer { state.feed = nil }
            return (state.runners, state.feed)
        }
        feed?.finish()
        for runner in runners { runner.stop() }
    }
}

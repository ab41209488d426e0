import ConnectionThread
import DequeModule
import EventBus

/// The deliveries of one channel, stored until they are requested.
final class LetterFeed: Sendable {
    private struct State {
        var deliveries = Deque<AMQPDelivery>()
        var failure: AMQPFailure?
        var isClosed = false
        var waiter: CheckedContinuation<Void, Never>?

        mutating func takeWaiter() -> CheckedContinuation<Void, Never>? {
            defer { waiter = nil }
            return waiter
        }
    }

    private let state = Locked(State())

    /// Handles an event of the channel on the connection's thread.
    func handle(_ event: ChannelEvent) {
        let waiter: CheckedContinuation<Void, Never>? = state.withLock { state in
            switch event {
            case .delivered(let delivery): state.deliveries.append(delivery)
            case .closed(let failure):
                state.failure = failure
                state.isClosed = true
            case .consumerCancelled:
                state.failure = AMQPFailure(.channelClosed(AMQPFailure.notFound), "the queue was deleted")
            case .returned, .confirmed, .unreadable: return nil
            }
            return state.takeWaiter()
        }
        waiter?.resume()
    }

    /// A Boolean value indicating whether the channel is closed, so that its number may belong to another one.
    var isClosed: Bool { state.withLock { $0.isClosed } }

    /// Returns the next delivery, if it has arrived and can still be settled.
    func nextAtHand() -> AMQPDelivery? {
        state.withLock { $0.failure == nil ? $0.deliveries.popFirst() : nil }
    }

    /// Returns the delivery that arrived last and was not read.
    func takeLast() -> AMQPDelivery? {
        state.withLock { $0.deliveries.popLast() }
    }

    /// Forgets the deliveries that were not read.
    func removeAll() {
        state.withLock { $0.deliveries.removeAll() }
    }

    /// Returns the next delivery, or `nil` if none arrives before the deadline.
    func next(until deadline: MonotonicTime, thread: ConnectionThread) async throws -> AMQPDelivery? {
        while true {
            try Task.checkCancellation()
            let (delivery, failure) = state.withLock { state -> (AMQPDelivery?, AMQPFailure?) in
                // The broker returns the deliveries of a closed channel, so they cannot be settled.
                if let failure = state.failure { return (nil, failure) }
                return (state.deliveries.popFirst(), nil)
            }
            if let failure { throw failure }
            if let delivery { return delivery }
            if MonotonicTime.now >= deadline { return nil }
            await wait(until: deadline, thread)
        }
    }

    private func wait(until deadline: MonotonicTime, _ thread: ConnectionThread) async {
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let isDone = state.withLock { state in
                    if !state.deliveries.isEmpty || state.failure != nil { return true }
                    state.waiter = continuation
                    return false
                }
                if isDone { return continuation.resume() }
                thread.execute { [weak self, weak thread] in
                    _ = thread?.schedule(at: deadline) { self?.wake() }
                }
                if Task.isCancelled { wake() }
            }
        } onCancel: {
            wake()
        }
    }

    private func wake() {
        state.withLock { $0.takeWaiter() }?.resume()
    }
}

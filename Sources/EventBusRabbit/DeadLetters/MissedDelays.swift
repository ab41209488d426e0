import EventBus

/// The occasions for sending delayed events again that matched no queue when they were due.
final class MissedDelays: Sendable {
    struct Occasion: Sendable {
        /// A Boolean value indicating whether a missing object exists on the broker again.
        var isRestored = false
        /// A Boolean value indicating whether a consumer was attached.
        var isAttached = false
        /// The number of events that were there at the last check, if there was one.
        var sighted: Int?
    }

    /// A stream that yields when there is an occasion.
    let occasions: AsyncStream<Void>
    private let continuation: AsyncStream<Void>.Continuation
    private let next = Locked(Occasion())

    init() {
        (occasions, continuation) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1))
    }

    /// Records that a missing object exists on the broker again.
    func restored() {
        note { $0.isRestored = true }
    }

    /// Records that a consumer was attached.
    func attached() {
        next.withLock { $0.isAttached = true }
    }

    /// Records the number of events in the queue.
    func sighted(_ count: Int) {
        note { $0.sighted = count }
    }

    /// Returns the occasions since the last call.
    func take() -> Occasion {
        next.withLock { next in
            defer { next = Occasion() }
            return next
        }
    }

    private func note(_ change: (inout Occasion) -> Void) {
        next.withLock { change(&$0) }
        continuation.yield()
    }
}

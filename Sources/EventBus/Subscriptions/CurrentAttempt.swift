/// The attempt that a worker is handling, for access from outside its task: by the watchdog, and by tasks that a
/// handler started.
final class CurrentAttempt: Sendable {
    private struct State {
        /// A number that grows with every attempt of the worker.
        var number: UInt64 = 0
        var context: EventContext?
        /// The positions of events that the attempt has published, by the identity of the first of equal ones.
        var published: [EventID: Positions] = [:]
        /// The positions of events that the handler's latest call has published. Middleware may call it again.
        var taken: [(first: EventID, position: Int)] = []
        /// A Boolean value indicating whether the handler itself is running, and not only its middleware.
        var isCalling = false
    }

    /// The positions among equal events.
    private struct Positions {
        private var next = 0
        /// The positions of events that were not published.
        private var free: Set<Int> = []

        /// Returns the lowest position that no event has.
        mutating func take() -> Int {
            if let lowest = free.min() {
                free.remove(lowest)
                return lowest
            }
            defer { next += 1 }
            return next
        }

        mutating func release(_ position: Int) { free.insert(position) }
    }

    private let state = Locked(State())

    /// Records the start of an attempt and returns its number. Call ``end()`` afterwards.
    func begin(_ context: EventContext) -> UInt64 {
        state.withLock { state in
            state.number += 1
            state.context = context
            if !state.published.isEmpty { state.published = [:] }
            if !state.taken.isEmpty { state.taken = [] }
            return state.number
        }
    }

    /// Records that the handler has returned or thrown.
    func end() {
        // Released outside the lock, because that may run deinitializers of users.
        let ended = state.withLock { $0.context.take() }
        _ = ended
    }

    /// Records that the handler is called. Events of an earlier call leave their positions to those of this one, so that
    /// equal events of both have equal identities. Call ``endCall()`` afterwards.
    func beginCall() {
        state.withLock { state in
            state.isCalling = true
            for (first, position) in state.taken { state.published[first]?.release(position) }
            if !state.taken.isEmpty { state.taken = [] }
        }
    }

    /// Records that the call has ended. Middleware publishes its own events from now on.
    func endCall() { state.withLock { $0.isCalling = false } }

    /// Returns a Boolean value indicating whether the attempt with this number is running.
    func isUnderWay(_ number: UInt64) -> Bool {
        state.withLock { $0.number == number && $0.context != nil }
    }

    /// Returns the identity of an event that the attempt with this number publishes, or `nil` if the attempt has ended or
    /// derives none.
    func derivedID(of event: Envelope, options: PublishOptions, attempt number: UInt64) -> DerivedEventID? {
        let context = state.withLock { $0.number == number ? $0.context : nil }
        guard let context, context.processor.derivesEventIDs, !context.delivery.hasContentID else { return nil }
        let handled = (id: context.id, topic: context.topic)
        let queue = context.subscription.queueName
        func id(_ position: Int) -> EventID {
            EventID(handled: handled, subscription: queue, event: event, options: options, position: position)
        }
        let first = id(0)
        let position = state.withLock { state -> Int in
            guard state.number == number else { return 0 }
            let position = state.published[first, default: Positions()].take()
            if state.isCalling { state.taken.append((first, position)) }
            return position
        }
        return DerivedEventID(id: position > 0 ? id(position) : first, first: first, position: position)
    }

    /// Records that an event of the attempt with this number was not published, so that the next equal one gets its
    /// identity.
    func release(_ derived: DerivedEventID, attempt number: UInt64) {
        state.withLock { state in
            guard state.number == number else { return }
            state.published[derived.first]?.release(derived.position)
            let index = state.taken.lastIndex { $0.first == derived.first && $0.position == derived.position }
            if let index { state.taken.remove(at: index) }
        }
    }

    /// Tells the observers that a delivery was revoked, if its handler is still running.
    func reportRevocation(of delivery: Delivery) {
        guard let context = state.withLock({ $0.context }), context.delivery.token == delivery.token,
            !context.isAskingInbox, !context.processor.aborting.isRaised
        else { return }
        for observer in context.processor.observers { observer.didRevoke(context) }
    }

    /// Tells the observers that the handler has exceeded its time limit.
    func reportTimeout() {
        guard let context = state.withLock({ $0.context }), !context.isAskingInbox else { return }
        for observer in context.processor.observers { observer.didTimeOut(context) }
    }
}

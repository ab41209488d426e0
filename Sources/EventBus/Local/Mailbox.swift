import DequeModule
import Instrumentation
import Synchronization

/// A mailbox for events of any type.
protocol ClosableMailbox: Sendable {
    /// Accepts no more events and drops the waiting ones.
    func close()
}

private enum Filing {
    case filed, filedFirst, full, reentrant
}

/// The events that wait for one asynchronous listener, up to a maximum number. They are handled in order and one at a
/// time.
///
/// A task drains the mailbox from the moment it has an event until it is empty, so an idle listener has no task.
final class Mailbox<Element: Sendable>: ClosableMailbox {
    private struct Item {
        var element: Element
        /// The context of the emitting task, so that events that the listener publishes have its correlation.
        var context: ServiceContext?
        /// The emission that waits until the event is handled, if any.
        var emission: LocalEmission?
    }

    private struct State {
        var items = Deque<Item>()
        var isDraining = false
        var isClosed = false
    }

    private let state = Locked(State())
    private let capacity: Int
    private let activity: ActivityTracker
    private let body: @Sendable (Element) async throws -> Void
    private let reporter: FailureReporter
    private let failure: @Sendable (any Error, Element) -> LocalListenerFailure

    /// Creates an empty mailbox.
    ///
    /// - Parameters:
    ///   - body: The closure that handles an event.
    ///   - failure: A closure that describes an error of `body`.
    init(
        capacity: Int,
        activity: ActivityTracker,
        reporter: FailureReporter,
        body: @escaping @Sendable (Element) async throws -> Void,
        failure: @escaping @Sendable (any Error, Element) -> LocalListenerFailure
    ) {
        self.capacity = max(1, capacity)
        self.activity = activity
        self.reporter = reporter
        self.body = body
        self.failure = failure
    }

    /// Adds `element` for the listener. If `emission` is not `nil`, it is told when the listener has handled it.
    ///
    /// - Throws: ``EventBusError`` with code `.mailboxFull` if `capacity` events are waiting, and `.reentrant` if the
    ///   listener would wait for itself.
    func offer(_ element: Element, of emission: LocalEmission?) throws(EventBusError) {
        let item = Item(element: element, context: ServiceContext.current, emission: emission)
        let filing = state.withLock { state -> Filing in
            if state.isClosed { return .filed }
            if state.items.count >= capacity { return .full }
            if let emission, !emission.begin(ObjectIdentifier(self)) { return .reentrant }
            state.items.append(item)
            activity.pendingEvents.wrappingAdd(1, ordering: .relaxed)
            if state.isDraining { return .filed }
            state.isDraining = true
            // Inside the lock, because the caller that adds the next event relies on this one having been counted.
            activity.begin()
            return .filedFirst
        }
        switch filing {
        case .filed:
            break
        case .filedFirst:
            // Detached, because each event has its own context, and that of the first one must not apply to the others.
            Task.detached {
                await LocalEmission.$listening.withValue(ObjectIdentifier(self)) { await self.drain() }
            }
        case .reentrant:
            throw EventBusError(
                .reentrant,
                "this listener waits for an emission that it would have to handle itself, one event at a time; emit the "
                    + "event without waiting"
            )
        case .full:
            throw EventBusError(
                .mailboxFull,
                "\(capacity) events wait for this listener already, and it does not get this one; give it a larger capacity or make it faster"
            )
        }
    }

    func close() {
        // Released outside the lock, because that may run deinitializers of users.
        let dropped = state.withLock { state in
            state.isClosed = true
            let items = state.items
            state.items = []
            return items
        }
        for item in dropped { item.emission?.end(ObjectIdentifier(self)) }
        activity.pendingEvents.wrappingSubtract(dropped.count, ordering: .relaxed)
    }

    private func drain() async {
        while let item = next() {
            do {
                if let context = item.context {
                    try await ServiceContext.withValue(context) { try await body(item.element) }
                } else {
                    try await body(item.element)
                }
                item.emission?.end(ObjectIdentifier(self))
            } catch {
                let failure = failure(error, item.element)
                if item.emission?.end(ObjectIdentifier(self), failure) != true { reporter.report(failure) }
            }
            activity.pendingEvents.wrappingSubtract(1, ordering: .relaxed)
        }
        activity.end()
    }

    private func next() -> Item? {
        state.withLock { state in
            let item = state.items.popFirst()
            if item == nil { state.isDraining = false }
            return item
        }
    }
}

import DequeModule
import Instrumentation
import Synchronization

/// A mailbox for events of any type.
protocol ClosableMailbox: Sendable {
    /// Accepts no more events and drops the waiting ones.
    func close()
}

private enum Filing {
    case filed, filedFirst, refused
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
    private let onError: @Sendable (any Error, Element) -> Void

    init(
        capacity: Int,
        activity: ActivityTracker,
        body: @escaping @Sendable (Element) async throws -> Void,
        onError: @escaping @Sendable (any Error, Element) -> Void
    ) {
        self.capacity = max(1, capacity)
        self.activity = activity
        self.body = body
        self.onError = onError
    }

    /// Adds `element` for the listener.
    ///
    /// - Throws: ``EventBusError`` with code `.mailboxFull` if `capacity` events are waiting.
    func offer(_ element: Element) throws(EventBusError) {
        let item = Item(element: element, context: ServiceContext.current)
        let filing = state.withLock { state -> Filing in
            if state.isClosed { return .filed }
            if state.items.count >= capacity { return .refused }
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
            Task.detached { await self.drain() }
        case .refused:
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
            } catch {
                onError(error, item.element)
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

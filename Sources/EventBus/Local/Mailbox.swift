import DequeModule
import Instrumentation
import Synchronization

/// A mailbox whatever its events.
protocol ClosableMailbox: Sendable {
    /// Takes no more events and drops those that wait.
    func close()
}

private enum Filing {
    case filed, filedFirst, refused
}

/// The events that wait for one async listener: bounded, handled in order and one at a time.
///
/// A task drains the mailbox from the moment it has an event until it is empty, so an idle listener holds no task.
final class Mailbox<Element: Sendable>: ClosableMailbox {
    private struct Item {
        var element: Element
        /// The context of whoever emitted the event, so that what the listener publishes carries its correlation.
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

    /// Files `element` for the listener.
    ///
    /// - Throws: ``EventBusError`` with code `.mailboxFull` when `capacity` events are waiting.
    func offer(_ element: Element) throws(EventBusError) {
        let item = Item(element: element, context: ServiceContext.current)
        let filing = state.withLock { state -> Filing in
            if state.isClosed { return .filed }
            if state.items.count >= capacity { return .refused }
            state.items.append(item)
            activity.pendingEvents.wrappingAdd(1, ordering: .relaxed)
            if state.isDraining { return .filed }
            state.isDraining = true
            // Within the lock: whoever files the next event relies on this one having been counted.
            activity.begin()
            return .filedFirst
        }
        switch filing {
        case .filed:
            break
        case .filedFirst:
            // Detached: each event brings its own context, the first one's must not cover the rest.
            Task.detached { await self.drain() }
        case .refused:
            throw EventBusError(
                .mailboxFull,
                "\(capacity) events wait for this listener already, and it does not get this one; give it a larger capacity or make it faster"
            )
        }
    }

    func close() {
        // Dropped outside the lock, since that may run the deinitialisers of users.
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

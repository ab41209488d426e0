/// A queue of items for user code, such as handlers of logs and metrics, which may block and must not delay an I/O
/// thread. A separate task consumes the items in order.
package final class BackgroundQueue<Item: Sendable>: Sendable {
    private struct State {
        var items: [Item] = []
        var dropped = 0
        var isConsuming = false
    }

    private let capacity: Int
    private let pause: Duration
    private let consume: @Sendable (_ items: [Item], _ dropped: Int) -> Void
    private let state = Locked(State())

    /// Creates a queue.
    ///
    /// - Parameters:
    ///   - capacity: The maximum number of waiting items, so that a consumer that blocks permanently does not exhaust
    ///     the memory. Further items are dropped.
    ///   - pause: The duration for which items are collected before they are consumed. Defaults to zero.
    ///   - consume: A closure that consumes items, and is told how many were dropped after them.
    package init(
        capacity: Int,
        pause: Duration = .zero,
        consume: @escaping @Sendable (_ items: [Item], _ dropped: Int) -> Void
    ) {
        self.capacity = capacity
        self.pause = pause
        self.consume = consume
    }

    package func add(_ item: Item) {
        let isFirst = state.withLock { state in
            guard state.items.count < capacity else {
                state.dropped += 1
                return false
            }
            state.items.append(item)
            defer { state.isConsuming = true }
            return !state.isConsuming
        }
        if isFirst { Task.detached { [self] in await consumeAll() } }
    }

    /// Consumes items until none is waiting.
    private func consumeAll() async {
        while true {
            if pause > .zero { try? await Task.sleep(for: pause) }
            let (items, dropped) = state.withLock { state in
                if state.items.isEmpty { state.isConsuming = false }
                defer { (state.items, state.dropped) = ([], 0) }
                return (state.items, state.dropped)
            }
            if items.isEmpty { return }
            consume(items, dropped)
        }
    }
}

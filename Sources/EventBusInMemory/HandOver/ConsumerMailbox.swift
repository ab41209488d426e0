import DequeModule
import EventBus

/// The connection from the broker to one consumer's sink. It keeps the order in which the broker made its decisions.
///
/// Sinks are called outside the broker's lock, so two threads may each have an item for one consumer. The order is kept
/// as follows. While the broker's lock is held, items are offered to the port. The first thread to offer becomes the
/// carrier and calls the sink after the lock is released. Items that others offer meanwhile are queued and handed over
/// by the carrier. The sink therefore receives the items in the order of the broker's lock, and never two calls at
/// once. Nothing blocks, because a sink only stores.
final class ConsumerMailbox: Sendable {
    /// An item that is handed to a sink.
    enum Item: Sendable {
        case delivery(Delivery)
        case revocation(through: UInt64)
    }

    private struct Outbox: Sendable {
        var isBeingCarried = false
        var isClosed = false
        var items: Deque<Item> = []
        var waitingForIdle: [OneShot<Void>] = []
    }

    private enum Next {
        case carry(Item)
        case carryAll(Deque<Item>)
        case idle([OneShot<Void>])
    }

    private let sink: any DeliverySink
    /// The sink, if it can tell whether its handlers are idle. The cast is cached, because it takes a while.
    private let quiescentSink: (any IdleReporting)?
    private let outbox = Locked(Outbox())

    init(sink: any DeliverySink) {
        self.sink = sink
        self.quiescentSink = sink as? any IdleReporting
    }

    /// Returns a signal for when the sink's handlers are idle, or `nil` if they are idle or if the sink cannot tell.
    func quiescence() -> Signal? {
        quiescentSink?.quiescence()
    }

    /// Adds `item` to the order. Call it while the broker's lock is held.
    ///
    /// - Returns: `true` if the caller has to ``carry(_:)`` the item after it has released the lock.
    func offer(_ item: Item) -> Bool {
        outbox.withLock { outbox in
            if outbox.isClosed { return false }
            if case .revocation = item {
                // Items that have not been handed over belong to the lost connection, so the sink need not receive
                // them.
                outbox.items.removeAll()
            }
            if outbox.isBeingCarried {
                outbox.items.append(item)
                return false
            }
            outbox.isBeingCarried = true
            return true
        }
    }

    /// Drops the pending items and accepts no more. Call it while the broker's lock is held.
    func close() {
        outbox.withLock { outbox in
            outbox.isClosed = true
            outbox.items.removeAll { if case .delivery = $0 { true } else { false } }
        }
    }

    /// Hands `first` and the items that were offered meanwhile to the sink.
    func carry(_ first: Item) {
        hand(first)
        while true {
            let next: Next = outbox.withLock { outbox in
                if outbox.items.count > 1 {
                    defer { outbox.items = [] }
                    return .carryAll(outbox.items)
                }
                if let item = outbox.items.popFirst() { return .carry(item) }
                outbox.isBeingCarried = false
                if outbox.waitingForIdle.isEmpty { return .idle([]) }
                defer { outbox.waitingForIdle = [] }
                return .idle(outbox.waitingForIdle)
            }
            switch next {
            case .carry(let item):
                hand(item)
            case .carryAll(let items):
                hand(items)
            case .idle(let waiters):
                for waiter in waiters { waiter.resolve(()) }
                return
            }
        }
    }

    /// Waits until no thread is about to call the sink. That takes microseconds, and a cancellation does not interrupt
    /// it, because the caller relies on it afterwards.
    func idle() async {
        let waiter: OneShot<Void>? = outbox.withLock { outbox in
            guard outbox.isBeingCarried else { return nil }
            let waiter = OneShot<Void>()
            outbox.waitingForIdle.append(waiter)
            return waiter
        }
        await waiter?.wait(onCancel: {})
    }

    /// Calls the sink, with one call for consecutive deliveries.
    private func hand(_ items: Deque<Item>) {
        var deliveries: [Delivery] = []
        for item in items {
            switch item {
            case .delivery(let delivery):
                deliveries.append(delivery)
            case .revocation:
                sink.receive(contentsOf: deliveries)
                deliveries = []
                hand(item)
            }
        }
        if !deliveries.isEmpty { sink.receive(contentsOf: deliveries) }
    }

    private func hand(_ item: Item) {
        switch item {
        case .delivery(let delivery): sink.receive(delivery)
        case .revocation(let generation): sink.revoke(through: generation)
        }
    }
}

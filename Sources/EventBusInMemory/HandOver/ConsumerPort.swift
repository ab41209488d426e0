import DequeModule
import EventBus

/// The way from the broker to one consumer's sink: it keeps the order in which the broker decided.
///
/// Sinks are called outside the broker's lock, so two threads may each hold something for one consumer. Order is kept
/// like this: while the broker's lock is held, what is decided is offered to the port; the first to offer becomes its
/// carrier and calls the sink once the lock is released, what others offer meanwhile queues up behind and is carried by
/// the same thread. So the sink sees the order of offers, which is the order of the broker's lock, and never two calls
/// at once. Nothing waits: a sink only stores.
final class ConsumerPort: Sendable {
    /// What a sink is told.
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
    /// The sink, if it can tell whether its handlers are idle; asked once, since the question takes a while.
    private let quiescentSink: (any QuiescentSink)?
    private let outbox = Locked(Outbox())

    init(sink: any DeliverySink) {
        self.sink = sink
        self.quiescentSink = sink as? any QuiescentSink
    }

    /// A signal for when the sink's handlers are idle; `nil` if they are, or if the sink cannot tell.
    func quiescence() -> Signal? {
        quiescentSink?.quiescence()
    }

    /// Takes `item` into the order. Called while the broker's lock is held.
    ///
    /// - Returns: Whether the caller has to ``carry(_:)`` the item once it released the lock.
    func offer(_ item: Item) -> Bool {
        outbox.withLock { outbox in
            if outbox.isClosed { return false }
            if case .revocation = item {
                // What was not carried yet belongs to the lost connection: the sink need not see it.
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

    /// Drops what was not carried yet and takes no more. Called while the broker's lock is held.
    func close() {
        outbox.withLock { outbox in
            outbox.isClosed = true
            outbox.items.removeAll { if case .delivery = $0 { true } else { false } }
        }
    }

    /// Hands `first` to the sink, and what was offered meanwhile.
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

    /// Waits until no thread is about to call the sink. It is a matter of microseconds and not cut short by
    /// cancellation: what the caller does next relies on it.
    func idle() async {
        let waiter: OneShot<Void>? = outbox.withLock { outbox in
            guard outbox.isBeingCarried else { return nil }
            let waiter = OneShot<Void>()
            outbox.waitingForIdle.append(waiter)
            return waiter
        }
        await waiter?.wait(onCancel: {})
    }

    /// Deliveries that follow each other go in one call.
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

import ConnectionThread
import EventBus

/// One pass through a dead-letter queue, from its oldest entry: entries are taken out unacknowledged, and go back with the
/// channel unless they are let go of.
struct LetterReader {
    private let connection: RabbitConnection
    private let queue: String
    /// How many entries may be out that were not looked at.
    private let prefetch: UInt16
    private var feed: LetterFeed
    private var channel: UInt16 = 0
    private var consumers = 0
    /// Entries of the present consumer that were looked at and left.
    private var keptByConsumer = 0
    /// All that were looked at and left: the end of the channel puts them back.
    private(set) var kept = 0
    /// Entries still to be read: those that were there when the pass began.
    private var remaining: Int
    private var opened = ContinuousClock.now

    /// How long nothing may come before it is asked whether there is anything.
    private static let silence = Duration.seconds(2)
    /// How long entries are held: a broker closes the channel of a delivery that is out for too long.
    private static let maximumHold = Duration.seconds(60)

    init(_ connection: RabbitConnection, queue: String, prefetch: Int = 500) async throws {
        self.connection = connection
        self.queue = queue
        self.prefetch = UInt16(clamping: max(1, prefetch))
        self.feed = LetterFeed()
        self.remaining = 0
        remaining = try await Self.count(queue, connection)
        if remaining > 0 { try await open() }
    }

    /// How many entries a queue holds.
    ///
    /// - Throws: ``AMQPFailure``, with the broker's code 404 if there is no such queue.
    static func count(_ queue: String, _ connection: RabbitConnection) async throws -> Int {
        let channel = try await connection.openChannel { _ in }
        var count = try await ready(queue, connection, channel)
        // Zero is also what the broker says of a queue whose leader does not answer in time.
        if count == 0,
            case .message(let entry, let left) = try await connection.call(
                .basicGet(queue: queue),
                on: channel
            )
        {
            count = left + 1
            await connection.requeue(entry.deliveryTag, on: channel)
            try await waitForReturn(to: queue, count: count, connection, channel)
        }
        await connection.closeChannel(channel)
        return count
    }

    /// What the broker says that a queue holds and nobody has out.
    private static func ready(_ queue: String, _ connection: RabbitConnection, _ channel: UInt16) async throws -> Int {
        let declaration = AMQPCall.queueDeclare(QueueDeclaration(name: queue, isPassive: true))
        guard case .queue(_, let messages, _) = try await connection.call(declaration, on: channel) else { return 0 }
        return messages
    }

    /// Waits until entries that were put back are in the queue, so that whoever looks next sees them. Someone else may take
    /// them, so the wait is short.
    private static func waitForReturn(
        to queue: String,
        count: Int,
        _ connection: RabbitConnection,
        _ channel: UInt16
    ) async throws {
        for _ in 0..<50 {
            if try await ready(queue, connection, channel) >= count { return }
            try? await Task.sleep(for: .milliseconds(10))
        }
    }

    private mutating func open() async throws {
        feed = LetterFeed()
        channel = try await connection.openChannel { [feed] in feed.handle($0) }
        opened = .now
        try await consume()
    }

    private mutating func consume() async throws {
        consumers += 1
        keptByConsumer = 0
        try await connection.call(
            [.basicQos(prefetch: prefetch), .basicConsume(queue: queue, tag: "reader\(consumers)")],
            on: channel
        )
    }

    /// The next entry; `nil` at the end of what there was when the pass began.
    mutating func next() async throws -> AMQPDelivery? {
        guard remaining > 0 else { return nil }
        if kept > 0, opened.duration(to: .now) > Self.maximumHold { try await beginAgain() }
        if keptByConsumer >= Int(prefetch) {
            // The next entries are for another consumer: this one has as many out as it may.
            try await connection.call(.basicCancel(tag: "reader\(consumers)"), on: channel)
            try await consume()
        }
        guard let delivery = try await nextDelivery() else {
            remaining = 0
            return nil
        }
        remaining -= 1
        return delivery
    }

    /// The next entry, if it has come already.
    mutating func nextAtHand() -> AMQPDelivery? {
        guard remaining > 0, let delivery = feed.nextAtHand() else { return nil }
        remaining -= 1
        return delivery
    }

    private func nextDelivery() async throws -> AMQPDelivery? {
        for _ in 0..<5 {
            let deadline = MonotonicTime.now.advanced(by: Self.silence)
            if let delivery = try await feed.next(until: deadline, thread: connection.thread) { return delivery }
            guard try await Self.count(queue, connection) == 0 else { continue }
            // Another reader may hold the rest, or it is on its way: what the broker has sent comes before its answer.
            try await connection.call(.basicQos(prefetch: prefetch), on: channel)
            return feed.nextAtHand()
        }
        throw EventBusError(.unavailable, "the queue \(queue) has entries and delivers none")
    }

    /// Puts back what is held, and goes on behind it: it comes first again.
    private mutating func beginAgain() async throws {
        let held = kept
        await connection.closeChannel(channel)
        try await open()
        kept = 0
        for _ in 0..<held {
            guard try await nextDelivery() != nil else { break }
            keep()
            if keptByConsumer >= Int(prefetch) {
                try await connection.call(.basicCancel(tag: "reader\(consumers)"), on: channel)
                try await consume()
            }
        }
    }

    /// Leaves an entry where it is.
    mutating func keep() {
        kept += 1
        keptByConsumer += 1
    }

    /// Lets go of an entry.
    func acknowledge(_ delivery: AMQPDelivery) async {
        await connection.acknowledge(delivery.deliveryTag, multiple: false, on: channel)
    }

    /// Ends the pass, and waits until what was left is back.
    func close() async {
        guard channel != 0 else { return }
        await connection.closeChannel(channel)
        guard kept > 0, let channel = try? await connection.openChannel({ _ in }) else { return }
        try? await Self.waitForReturn(to: queue, count: kept, connection, channel)
        await connection.closeChannel(channel)
    }
}

import ConnectionThread
import EventBus

/// One pass through a dead-letter queue, starting with its oldest entry. Entries are read without acknowledging them,
/// and return to the queue when the channel is closed unless they are acknowledged.
struct LetterReader {
    private let connection: RabbitConnection
    private let queue: String
    /// The maximum number of prefetched entries that have not been read.
    private let prefetch: UInt16
    private var feed: LetterFeed
    private var channel: UInt16 = 0
    private var consumers = 0
    /// The number of entries of the current consumer that were read and kept.
    private var keptByConsumer = 0
    /// The number of all entries that were read and kept. Closing the channel returns them.
    private(set) var kept = 0
    /// The number of entries still to be read, out of those that existed when the pass started.
    private var remaining: Int
    private var opened = ContinuousClock.now
    /// The entry that is acknowledged next.
    private var last: AMQPDelivery?
    /// The number of acknowledgements that were sent on this channel.
    private var sent = 0

    /// The time without an entry after which the queue is checked.
    private static let silence = Duration.seconds(2)
    /// The maximum time for which entries are held, because a broker closes the channel of a delivery that is unsettled
    /// for too long.
    private static let maximumHold = Duration.seconds(60)
    /// The number of acknowledgements that a channel certainly passes on at once.
    private static let sentAhead = 16
    /// The time after which a returned entry is not expected any more, because another reader has it.
    private static let returnTime = Duration.seconds(10)

    init(_ connection: RabbitConnection, queue: String, prefetch: Int = 500) async throws {
        self.connection = connection
        self.queue = queue
        self.prefetch = UInt16(clamping: max(1, prefetch))
        self.feed = LetterFeed()
        self.remaining = 0
        remaining = try await Self.count(queue, connection)
        if remaining > 0 { try await open() }
    }

    /// Returns the number of entries in a queue.
    ///
    /// - Throws: ``AMQPFailure``, with the broker's code 404 if there is no such queue.
    static func count(_ queue: String, _ connection: RabbitConnection) async throws -> Int {
        let channel = try await connection.openChannel { _ in }
        var count = try await ready(queue, connection, channel)
        // The broker also reports zero for a queue whose leader does not answer in time.
        if count == 0 {
            count = try await QueueSample.count(in: queue, connection)
            if count > 0 {
                try await waitForReturn(to: queue, count: count, connection, channel)
                count = max(count, try await ready(queue, connection, channel))
            }
        }
        await connection.closeChannel(channel)
        return count
    }

    /// Returns the number of ready entries in a queue according to the broker.
    private static func ready(_ queue: String, _ connection: RabbitConnection, _ channel: UInt16) async throws -> Int {
        let declaration = AMQPCall.queueDeclare(QueueDeclaration(name: queue, isPassive: true))
        guard case .queue(_, let messages, _) = try await connection.call(declaration, on: channel) else { return 0 }
        return messages
    }

    /// Waits until returned entries are in the queue, so that the next reader finds them. The wait is short, because
    /// other readers may take them.
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

    /// Returns the next entry, or `nil` after the last one that existed when the pass started.
    mutating func next() async throws -> AMQPDelivery? {
        guard remaining > 0 else { return nil }
        if kept > 0, opened.duration(to: .now) > Self.maximumHold { try await beginAgain() }
        if keptByConsumer + (last == nil ? 0 : 1) >= Int(prefetch) {
            // The next entries are for another consumer, because this one has reached its prefetch.
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

    /// Returns the next entry, if it has arrived already.
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
            // Another reader may hold the rest, or it is in flight. Entries that the broker has sent arrive before its
            // reply.
            try await connection.call(.basicQos(prefetch: prefetch), on: channel)
            return feed.nextAtHand()
        }
        throw EventBusError(.unavailable, "the queue \(queue) has entries and delivers none")
    }

    /// Returns the held entries and continues after them, because they are first in the queue again.
    private mutating func beginAgain() async throws {
        let held = kept
        await flush()
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

    /// Leaves an entry in the queue.
    mutating func keep() {
        kept += 1
        keptByConsumer += 1
    }

    /// Acknowledges an entry, at the latest when the pass ends.
    mutating func acknowledge(_ delivery: AMQPDelivery) async {
        if let last {
            await connection.acknowledge(last.deliveryTag, multiple: false, on: channel)
            sent += 1
        }
        last = delivery
    }

    /// Acknowledges the last entry, once the queue has processed the acknowledgements before it.
    ///
    /// The broker's channel passes 32 commands on to a quorum queue and stores the others. If it is closed meanwhile, it
    /// drops them, and entries that were acknowledged are in the queue again. So the last entry is returned first: the
    /// queue delivers it again only after it has processed everything before.
    private mutating func flush() async {
        guard let entry = last else { return }
        last = nil
        var deliveryTag = entry.deliveryTag
        if sent >= Self.sentAhead {
            await connection.requeue(deliveryTag, on: channel)
            // The present consumer may have reached its prefetch.
            try? await consume()
            let (feed, thread) = (feed, connection.thread)
            let deadline = MonotonicTime.now.advanced(by: Self.returnTime)
            let returned = await withoutCancellation { () -> AMQPDelivery? in
                while let delivery = try? await feed.next(until: deadline, thread: thread) {
                    if delivery.isRedelivered, delivery.message.hasSameContent(as: entry.message) { return delivery }
                }
                return nil
            }
            guard let returned else { return }
            deliveryTag = returned.deliveryTag
        }
        sent = 0
        await connection.acknowledge(deliveryTag, multiple: false, on: channel)
    }

    /// Ends the pass, and waits until the kept entries are back.
    mutating func close() async {
        guard channel != 0 else { return }
        await flush()
        await connection.closeChannel(channel)
        guard kept > 0, let channel = try? await connection.openChannel({ _ in }) else { return }
        try? await Self.waitForReturn(to: queue, count: kept, connection, channel)
        await connection.closeChannel(channel)
    }
}

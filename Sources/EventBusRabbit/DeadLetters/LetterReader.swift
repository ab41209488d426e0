import ConnectionThread
import EventBus

/// One pass through a queue, starting with its oldest entry. Entries are read without acknowledging them, and return to
/// the queue when the channel is closed unless they are acknowledged.
///
/// Entries may return although they were acknowledged, if the channel ends before it has passed the acknowledgements on.
/// Those are recognized when they are read again, and ``doubt`` contains those that the pass did not see again.
struct LetterReader {
    let connection: RabbitConnection
    let queue: String
    let limits: LetterReaderLimits
    /// The maximum number of prefetched entries that have not been read.
    let prefetch: UInt16
    var feed = LetterFeed()
    var channel: UInt16 = 0
    private var consumers = 0
    /// The number of entries of the current consumer that were read and kept.
    private var keptByConsumer = 0
    /// The number of entries when the pass started.
    let total: Int
    /// The number of entries still to be read, out of those that existed when the pass started.
    private var remaining: Int
    private var opened = ContinuousClock.now

    /// The entries that were kept on this channel. Closing it returns them.
    var kept = ReadLetters()
    /// The entry that was kept last.
    var lastKept: AMQPDelivery?
    /// The entry that is acknowledged next.
    var last: AMQPDelivery?
    /// The number of acknowledgements that were sent on this channel.
    var sent = 0
    /// The number of entries that were acknowledged in this pass.
    private(set) var acknowledged = 0
    /// The entries that were acknowledged on this channel, which may not have passed it on.
    var unconfirmed = ReadLetters()

    /// The acknowledged entries of earlier channels that may be in the queue again.
    var returned: ReadLetters
    /// The kept entries of earlier channels, which are in the queue again.
    private var keptBefore: ReadLetters
    /// The number of entries that were recognized.
    private(set) var recognized = 0
    /// A Boolean value indicating whether the pass has ended with its connection.
    var isLost = false
    /// A closure that returns `true` when no further entry is wanted.
    var isEnough: @Sendable () -> Bool = { false }

    /// The tag of the current consumer.
    var tag: String { "reader\(consumers)" }

    /// The acknowledged entries that may be in the queue again.
    var doubt: ReadLetters {
        var doubt = returned
        doubt.add(unconfirmed)
        return doubt
    }

    /// Starts a pass.
    ///
    /// - Parameters:
    ///   - connection: The connection.
    ///   - queue: The queue.
    ///   - prefetch: The maximum number of prefetched entries that have not been read.
    ///   - limits: The limits.
    ///   - returned: The acknowledged entries of an earlier pass that may be in the queue again.
    init(
        _ connection: RabbitConnection,
        queue: String,
        prefetch: Int = 500,
        limits: LetterReaderLimits = LetterReaderLimits(),
        returned: ReadLetters = ReadLetters()
    ) async throws {
        self.connection = connection
        self.queue = queue
        self.limits = limits
        self.prefetch = UInt16(clamping: max(1, prefetch))
        self.returned = returned
        self.keptBefore = ReadLetters()
        let total = try await Self.count(queue, connection)
        self.total = total
        self.remaining = total
        if remaining > 0 { try await open() }
    }

    private mutating func open() async throws {
        feed = LetterFeed()
        sent = 0
        channel = try await connection.openChannel { [feed] in feed.handle($0) }
        opened = .now
        try await consume()
    }

    /// Starts another consumer on the channel.
    mutating func consume() async throws {
        consumers += 1
        keptByConsumer = 0
        try await connection.call([.basicQos(prefetch: prefetch), .basicConsume(queue: queue, tag: tag)], on: channel)
    }

    // MARK: Reading

    /// Returns the next entry, or `nil` after the last one that existed when the pass started, and if no further one is
    /// wanted.
    mutating func next() async throws -> AMQPDelivery? {
        guard remaining > 0, !isEnough() else { return nil }
        if !(kept.isEmpty && unconfirmed.isEmpty), opened.duration(to: .now) > limits.maximumHold {
            try await beginAgain()
        }
        while let delivery = try await nextDelivery() {
            if await recognize(delivery) { continue }
            remaining -= 1
            return delivery
        }
        remaining = 0
        return nil
    }

    /// Returns the next entry, if it has arrived already.
    mutating func nextAtHand() async -> AMQPDelivery? {
        guard remaining > 0, !isEnough() else { return nil }
        while let delivery = feed.nextAtHand() {
            if await recognize(delivery) { continue }
            remaining -= 1
            return delivery
        }
        return nil
    }

    /// Acknowledges the entries of ``returned`` that are found, and keeps the others.
    ///
    /// - Parameter maximum: The maximum number of entries to read. Returned entries are the first in a queue.
    mutating func removeReturned(reading maximum: Int) async throws {
        for _ in 0..<min(maximum, total) {
            guard !returned.isEmpty, let delivery = try await nextDelivery() else { return }
            if await !recognize(delivery) { keep(delivery) }
        }
    }

    private mutating func nextDelivery() async throws -> AMQPDelivery? {
        if keptByConsumer + (last == nil ? 0 : 1) >= Int(prefetch) {
            // The next entries are for another consumer, because this one has reached its prefetch.
            try await connection.call(.basicCancel(tag: tag), on: channel)
            try await consume()
        }
        for _ in 0..<5 {
            let deadline = MonotonicTime.now.advanced(by: limits.silence)
            if let delivery = try await feed.next(until: deadline, thread: connection.thread) { return delivery }
            if isEnough() { return nil }
            guard try await Self.count(queue, connection) == 0 else { continue }
            // Another reader may hold the rest, or it is in flight. Entries that the broker has sent arrive before its
            // reply.
            try await connection.call(.basicQos(prefetch: prefetch), on: channel)
            return feed.nextAtHand()
        }
        throw EventBusError(.unavailable, "the queue \(queue) has entries and delivers none")
    }

    /// Settles an entry that was read before as it was then. Returns `false` if it was not read before.
    private mutating func recognize(_ delivery: AMQPDelivery) async -> Bool {
        guard delivery.isRedelivered, !(returned.isEmpty && keptBefore.isEmpty) else { return false }
        let letter = LetterIdentity(delivery.message)
        if returned.remove(letter) {
            await acknowledge(delivery)
        } else if keptBefore.remove(letter) {
            keep(delivery)
        } else {
            return false
        }
        recognized += 1
        return true
    }

    /// Returns the held entries to the queue and continues on another channel. They are read again there, in any order.
    private mutating func beginAgain() async throws {
        await endChannel()
        returned.add(unconfirmed)
        unconfirmed = ReadLetters()
        keptBefore.add(kept)
        kept = ReadLetters()
        lastKept = nil
        try await open()
    }

    // MARK: Settling

    /// Leaves an entry in the queue.
    mutating func keep(_ delivery: AMQPDelivery) {
        kept.add(LetterIdentity(delivery.message))
        lastKept = delivery
        keptByConsumer += 1
    }

    /// Acknowledges an entry, at the latest when the pass ends.
    mutating func acknowledge(_ delivery: AMQPDelivery) async {
        if let last, !feed.isClosed {
            await connection.acknowledge(last.deliveryTag, multiple: false, on: channel)
            sent += 1
        }
        last = delivery
        acknowledged += 1
        unconfirmed.add(LetterIdentity(delivery.message))
    }
}

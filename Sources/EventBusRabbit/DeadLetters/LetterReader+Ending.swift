import ConnectionThread
import EventBus

/// The end of a channel, which must not take acknowledgements with it.
extension LetterReader {
    /// Ends the pass, and waits until the entries that were not acknowledged are back. The task may be cancelled.
    mutating func close() async {
        guard channel != 0 else { return }
        let reader = self
        self = await withoutCancellation {
            var reader = reader
            await reader.endChannel()
            await reader.waitForReturn()
            return reader
        }
    }

    /// Closes the channel, and notes whether it has passed all acknowledgements on.
    mutating func endChannel() async {
        let isFlushed = await flush()
        var isClosed = false
        if !feed.isClosed { isClosed = await connection.closeChannel(channel) }
        channel = 0
        if isFlushed, isClosed { unconfirmed = ReadLetters() }
        if !isClosed { isLost = await !connection.isOpen }
    }

    private func waitForReturn() async {
        guard !isLost, let channel = try? await connection.openChannel({ _ in }) else { return }
        let count = max(0, total - acknowledged)
        // A failure has ended the channel, and its number may belong to another one.
        guard (try? await Self.waitForReturn(to: queue, count: count, connection, channel)) != nil else { return }
        await connection.closeChannel(channel)
    }

    /// Acknowledges the last entry, and waits until the queue has processed the acknowledgements. Returns `false` if that
    /// is unknown.
    ///
    /// The broker's channel passes 32 commands on to a quorum queue and stores the others. If it is closed meanwhile, it
    /// drops them, and entries that were acknowledged are in the queue again. So an entry is returned first, as a witness:
    /// the queue delivers it again only after it has processed everything before. It is one that stays in the queue, if
    /// there is one, because another reader may receive it.
    private mutating func flush() async -> Bool {
        guard let entry = last else { return true }
        last = nil
        guard !feed.isClosed else { return false }
        guard sent >= limits.sentAhead else {
            await connection.acknowledge(entry.deliveryTag, multiple: false, on: channel)
            return true
        }
        // No entry arrives after the witness, which thus keeps its place.
        guard (try? await connection.call(.basicCancel(tag: tag), on: channel)) != nil else { return false }
        let witness = feed.takeLast() ?? lastKept
        if let witness {
            await connection.acknowledge(entry.deliveryTag, multiple: false, on: channel)
            await connection.requeue(witness.deliveryTag, on: channel)
        } else {
            await connection.requeue(entry.deliveryTag, on: channel)
        }
        feed.removeAll()
        guard (try? await consume()) != nil, let returned = await nextRedelivery(of: witness ?? entry) else {
            return false
        }
        if witness == nil { await connection.acknowledge(returned.deliveryTag, multiple: false, on: channel) }
        return true
    }

    /// Returns the next delivery of an entry that was returned to the queue, or `nil` if it does not arrive.
    private func nextRedelivery(of entry: AMQPDelivery) async -> AMQPDelivery? {
        let letter = LetterIdentity(entry.message)
        let deadline = MonotonicTime.now.advanced(by: limits.returnTime)
        let (feed, thread) = (feed, connection.thread)
        return await withoutCancellation {
            while let delivery = try? await feed.next(until: deadline, thread: thread) {
                if delivery.isRedelivered, LetterIdentity(delivery.message) == letter { return delivery }
            }
            return nil
        }
    }
}

import EventBus

/// The number of entries in a queue.
extension LetterReader {
    /// Returns the number of entries in a queue.
    ///
    /// - Throws: ``AMQPFailure``, with the broker's code 404 if there is no such queue.
    static func count(_ queue: String, _ connection: RabbitConnection) async throws -> Int {
        let channel = try await connection.openChannel { _ in }
        var count = try await ready(queue, connection, channel)
        // The broker also reports zero for a queue whose leader does not answer in time.
        if count == 0, let (entry, left) = try await take(from: queue, connection, channel) {
            count = left + 1
            await connection.requeue(entry.deliveryTag, on: channel)
            try await waitForReturn(to: queue, count: count, connection, channel)
        }
        await connection.closeChannel(channel)
        return count
    }

    /// Takes an entry out of a queue, and returns it and the number of those that are left. A queue with a single active
    /// consumer allows only consumers to do so, and counts as empty.
    private static func take(
        from queue: String,
        _ connection: RabbitConnection,
        _ channel: UInt16
    ) async throws -> (entry: AMQPDelivery, left: Int)? {
        do {
            let reply = try await connection.call(.basicGet(queue: queue), on: channel)
            guard case .message(let entry, let left) = reply else { return nil }
            return (entry, left)
        } catch let failure where failure.kind == .channelClosed(AMQPFailure.resourceLocked) {
            return nil
        }
    }

    /// Returns the number of ready entries in a queue according to the broker.
    private static func ready(_ queue: String, _ connection: RabbitConnection, _ channel: UInt16) async throws -> Int {
        let declaration = AMQPCall.queueDeclare(QueueDeclaration(name: queue, isPassive: true))
        guard case .queue(_, let messages, _) = try await connection.call(declaration, on: channel) else { return 0 }
        return messages
    }

    /// Waits until returned entries are in the queue, so that the next reader finds them. The wait is short, because
    /// other readers may take them.
    static func waitForReturn(
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
}

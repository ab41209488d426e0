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
        if count == 0 {
            do {
                count = try await QueueSample.count(in: queue, connection)
            } catch {
                await connection.closeChannel(channel)
                throw error
            }
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

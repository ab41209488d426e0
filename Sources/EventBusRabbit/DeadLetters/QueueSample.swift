import ConnectionThread
import EventBus

/// The beginning of a queue: a reliable answer whether it holds events.
///
/// The broker reports zero for a queue whose leader does not answer in time, so an event is read, and returned when the
/// channel is closed.
enum QueueSample {
    /// The time after which a queue with a single active consumer that has delivered nothing is empty, or another
    /// consumer is active. The broker sends a delivery right after its answer to the consumer.
    static let silence = Duration.milliseconds(500)

    /// Returns the number of events that a queue has at least: exact if the broker allows to read single events, and at
    /// most one otherwise.
    ///
    /// - Throws: ``AMQPFailure``, with the broker's code 404 if there is no such queue.
    static func count(in queue: String, _ connection: RabbitConnection) async throws(AMQPFailure) -> Int {
        do throws(AMQPFailure) {
            let channel = try await connection.openChannel { _ in }
            var count = 0
            if case .message(_, let remaining) = try await connection.call(.basicGet(queue: queue), on: channel) {
                count = remaining + 1
            }
            await connection.closeChannel(channel)
            return count
        } catch {
            // The answer for a quorum queue with a single active consumer.
            guard error.kind == .channelClosed(AMQPFailure.resourceLocked) else { throw error }
            return try await consume(queue, connection) ? 1 : 0
        }
    }

    /// Returns a Boolean value indicating whether a queue delivers an event to a consumer.
    private static func consume(_ queue: String, _ connection: RabbitConnection) async throws(AMQPFailure) -> Bool {
        let feed = LetterFeed()
        let channel = try await connection.openChannel { feed.handle($0) }
        try await connection.call([.basicQos(prefetch: 1), .basicConsume(queue: queue, tag: "sample")], on: channel)
        let delivery: AMQPDelivery?
        do {
            delivery = try await feed.next(until: .now.advanced(by: silence), thread: connection.thread)
        } catch {
            // The number of a channel that has ended may belong to another one.
            if !feed.isClosed { await connection.closeChannel(channel) }
            throw error as? AMQPFailure ?? AMQPFailure(.closedByUs, "cancelled")
        }
        await connection.closeChannel(channel)
        return delivery != nil
    }
}

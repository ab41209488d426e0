import ConnectionThread
import EventBus

/// A trial on a separate connection that tells whether a queue can be consumed.
///
/// A queue without a leader answers every question like an empty one. Only consuming it fails, which also ends the
/// whole connection (541). A suspected queue is therefore tried where there is no other consumer.
struct QueueProbe {
    let configuration: RabbitConfiguration
    let thread: ConnectionThread
    let watch: SendTimeoutMonitor

    /// Consumes `queue` for a moment.
    ///
    /// - Throws: The failure of the trial. See ``AMQPFailure/isQueueDown``.
    func run(_ queue: String) async throws(AMQPFailure) {
        guard let host = configuration.hosts.randomElement() else { throw AMQPFailure(.connectFailed, "no host") }
        let connection = try await RabbitConnection.open(
            configuration,
            at: host,
            role: "trial",
            thread: thread,
            watch: watch
        )
        do throws(AMQPFailure) {
            let channel = try await connection.openChannel { _ in }
            // Messages that arrive meanwhile return to the queue with the end of the connection.
            try await connection.call([.basicQos(prefetch: 1), .basicConsume(queue: queue, tag: "trial")], on: channel)
        } catch {
            await connection.close()
            throw error
        }
        await connection.close()
    }
}

import ConnectionThread
import EventBus

/// Tries on a connection of its own whether a queue can be consumed.
///
/// A queue without a leader answers every question like an empty one; only consuming it fails, and with it the whole
/// connection (541). So a queue that is suspected of that is tried where no other consumer is.
struct ConsumeTrial {
    let configuration: RabbitConfiguration
    let thread: ConnectionThread
    let watch: SendWatch

    /// Consumes `queue` for a moment.
    ///
    /// - Throws: what came of it; see ``AMQPFailure/isQueueDown``.
    func run(_ queue: String) async throws(AMQPFailure) {
        guard let host = configuration.hosts.randomElement() else { throw AMQPFailure(.connectFailed, "no host") }
        let connection = try RabbitConnection(
            handle: try await LoginThread.logIn(configuration, host, role: "trial"),
            number: 0,
            thread: thread,
            watch: watch,
            isTLS: configuration.tls != nil,
            maximumBodySize: configuration.maximumBodySize,
            callTimeout: configuration.callTimeout,
            onEvent: { _ in }
        )
        await connection.start()
        do throws(AMQPFailure) {
            let channel = try await connection.openChannel { _ in }
            // What comes meanwhile goes back with the connection.
            try await connection.call([.basicQos(prefetch: 1), .basicConsume(queue: queue, tag: "trial")], on: channel)
        } catch {
            await connection.close()
            throw error
        }
        await connection.close()
    }
}

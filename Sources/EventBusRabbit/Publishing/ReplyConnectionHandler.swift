import ConnectionThread
import EventBus

/// The user of the reply connection, which keeps the publisher of replies on a channel.
///
/// Requesters choose the addresses of replies, and the broker closes the connection on one that it cannot decode. Replies
/// therefore share a connection with nothing else.
struct ReplyConnectionHandler: Sendable {
    let replies: RabbitPublisher
    let health: ConnectionHealth
    let logger: BackgroundLogger

    /// Handles an event of the connection on its thread.
    func handle(_ event: ConnectionEvent) {
        switch event {
        case .blocked(let reason):
            health.setBlocked(.reply, reason: reason)
            replies.assumeIsolated { $0.setBlocked(true) }
        case .unblocked:
            health.setBlocked(.reply, reason: nil)
            replies.assumeIsolated { $0.setBlocked(false) }
        case .writable:
            replies.assumeIsolated { $0.becameWritable() }
        }
    }

    /// Sends replies over a connection until it ends, and returns the reason.
    func serve(_ connection: RabbitConnection) async -> AMQPFailure {
        do throws(AMQPFailure) {
            try await replies.attach(to: connection)
        } catch {
            await connection.abort("the reply channel could not be opened: \(error)")
            return await connection.waitUntilClosed()
        }
        health.connected(.reply)
        return await withTaskGroup(of: Void.self) { group in
            let keeper = ChannelKeeper(logger: logger)
            group.addTask {
                await keeper.keep("reply", on: connection) {
                    await replies.waitUntilDetached()
                } open: { () async throws(AMQPFailure) in
                    try await replies.attach(to: connection)
                }
            }
            group.addTask { await keeper.keepSecond(of: replies, on: connection) }
            let failure = await connection.waitUntilClosed()
            await replies.wakeProbeWaiters()
            return failure
        }
    }
}

import EventBus
import Synchronization

/// A circuit breaker for the readers of a cache. While it is open, they bypass the server because an earlier read got
/// no answer.
final class ReadBreaker: Sendable {
    private let isTripped = Atomic(false)

    /// A Boolean value indicating whether readers bypass the server.
    var isOpen: Bool { isTripped.load(ordering: .relaxed) }

    /// Lets readers bypass the server. Returns `false` if they already do.
    func open() -> Bool { !isTripped.exchange(true, ordering: .relaxed) }

    /// Lets readers ask the server again.
    func close() { isTripped.store(false, ordering: .relaxed) }
}

extension RedisCache {
    /// Lets readers bypass the server until it answers again. One task pings the server on behalf of all readers.
    func openReads() {
        guard reads.open() else { return }
        let (reads, channel, limit) = (reads, client.valueChannel, options.readTimeout)
        Task { [weak self] in
            var backoff = Backoff(initial: .milliseconds(20), maximum: .seconds(1))
            // A released cache has no readers.
            while self != nil {
                let reply = try? await channel.send(RedisCommand("PING"), timeout: limit, cancellation: .whenLate)
                if let reply, Handshake.provesLife(reply) { break }
                let pause = backoff.pause()
                backoff.noteFailure()
                try? await Task.sleep(for: pause)
            }
            reads.close()
        }
    }
}

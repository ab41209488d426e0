import EventBus
import Synchronization

/// Whether readers of a cache go without the server, because it did not answer the one before.
final class ReadBreaker: Sendable {
    private let isTripped = Atomic(false)

    /// Whether readers go without the server.
    var isOpen: Bool { isTripped.load(ordering: .relaxed) }

    /// Lets readers go without the server; false if they do already.
    func open() -> Bool { !isTripped.exchange(true, ordering: .relaxed) }

    /// Lets readers ask the server again.
    func close() { isTripped.store(false, ordering: .relaxed) }
}

extension RedisCache {
    /// Lets readers go without the server until it answers again, which one task finds out for all of them.
    func openReads() {
        guard reads.open() else { return }
        let (reads, connection, limit) = (reads, client.values, options.readTimeout)
        Task { [weak self] in
            var backoff = Backoff(initial: .milliseconds(20), maximum: .seconds(1))
            var generator = SystemRandomNumberGenerator()
            // A cache that is gone has no readers.
            while self != nil {
                let reply = try? await connection.send(RedisCommand("PING"), timeout: limit)
                if let reply, Handshake.isPong(reply) { break }
                let pause = backoff.pause(using: &generator)
                backoff.noteFailure()
                try? await Task.sleep(for: pause)
            }
            reads.close()
        }
    }
}

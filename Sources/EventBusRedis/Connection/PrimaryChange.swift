import EventBus

/// The connections that have to reach another server when Sentinels announce another primary.
final class PrimaryChange: Sendable {
    private struct Entry: Sendable {
        weak let connection: RedisConnection?
    }

    private let entries = Locked<[Entry]>([])

    /// Adds a connection. It is not retained.
    func add(_ connection: RedisConnection) {
        entries.withLock { entries in
            entries.removeAll { $0.connection == nil }
            entries.append(Entry(connection: connection))
        }
    }

    /// Ends the connections, which then ask for the primary. It is called on their thread.
    func notify() {
        let reason = EventBusError(.unavailable, "Redis Sentinel announced another primary")
        for connection in entries.withLock({ $0.compactMap(\.connection) }) {
            connection.assumeIsolated { $0.lose(reason) }
        }
    }
}

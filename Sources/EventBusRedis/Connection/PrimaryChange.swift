import ConnectionThread
import EventBus

/// The connections that have to reach another server when the primary changes, or when a node leaves a cluster.
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

    /// Ends the connections to other addresses than these, which then connect to another node of the cluster.
    func notify(outside addresses: Set<String>) {
        let reason = EventBusError(.unavailable, "this node does not serve slots of the Redis cluster any more")
        for connection in entries.withLock({ $0.compactMap(\.connection) }) {
            guard let server = connection.presence.server, !addresses.contains(server.address.description) else {
                continue
            }
            connection.thread.execute { connection.assumeIsolated { $0.leaveServer(reason) } }
        }
    }
}

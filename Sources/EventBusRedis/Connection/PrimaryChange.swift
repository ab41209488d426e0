import ConnectionThread
import EventBus

/// The connections that have to reach another server when the primary changes, or when a node leaves a cluster.
final class PrimaryChange: Sendable {
    private struct Entry: Sendable {
        weak let connection: RedisConnection?
    }

    private struct Question {
        var isUnderWay = false
        /// A Boolean value indicating whether to ask again afterwards.
        var isRepeated = false
        var heartbeats = 0
    }

    private let entries = Locked<[Entry]>([])
    private let question = Locked(Question())

    private var connections: [RedisConnection] { entries.withLock { $0.compactMap(\.connection) } }

    /// Adds a connection. It is not retained.
    func add(_ connection: RedisConnection) {
        entries.withLock { entries in
            entries.removeAll { $0.connection == nil }
            entries.append(Entry(connection: connection))
        }
    }

    // MARK: Sentinel

    /// The number of heartbeats of the Sentinel between two questions for the primary.
    private static let heartbeatsPerQuestion = 5

    /// Handles an event of the connection to a Sentinel, on the thread of the connections.
    ///
    /// Messages alone would not suffice: one of them may be missed during a reconnection, and a Sentinel that is separated
    /// from the others sends none. A former primary that is separated from the Sentinels serves its clients as before.
    func note(_ event: RedisConnection.SentinelEvent, _ query: SentinelQuery) {
        switch event {
        case .message(let message):
            // The service, and the former and the present address.
            let words = message.split(separator: " ")
            guard words.first.map({ String($0) }) == query.service else { return }
            // A connection may have found the new primary before the message.
            let primary = words.count == 5 ? "\(words[3]):\(words[4])" : nil
            for connection in connections {
                connection.assumeIsolated { if $0.server?.address.description != primary { $0.lose(.anotherPrimary) } }
            }
        case .began:
            ask(query)
        case .heartbeat:
            let isDue = question.withLock { question in
                question.heartbeats += 1
                return question.heartbeats.isMultiple(of: Self.heartbeatsPerQuestion)
            }
            if isDue { ask(query) }
        }
    }

    /// Asks the Sentinels for the primary on a separate thread, and ends the connections to other servers.
    private func ask(_ query: SentinelQuery) {
        let isFirst = question.withLock { question in
            // The question under way may have been answered before the event.
            question.isRepeated = question.isUnderWay
            defer { question.isUnderWay = true }
            return !question.isUnderWay
        }
        guard isFirst else { return }
        // A connection that has changed meanwhile may have had a later answer.
        let addresses = connections.compactMap { connection in
            connection.presence.server.map { (Entry(connection: connection), $0.address) }
        }
        let problem = startDetachedThread(name: "redis-sentinel", stackSize: 1 << 20) { [weak self] in
            let primary = try? query.primary(until: .now.advanced(by: .seconds(5)), isOutdatedRefused: true)
            for (entry, address) in addresses {
                guard let primary, !primary.contains(address), let connection = entry.connection else { continue }
                connection.thread.execute {
                    connection.assumeIsolated { if $0.server?.address == address { $0.lose(.anotherPrimary) } }
                }
            }
            self?.endQuestion(query)
        }
        if problem != 0 { question.withLock { $0.isUnderWay = false } }
    }

    private func endQuestion(_ query: SentinelQuery) {
        let isRepeated = question.withLock { question in
            question.isUnderWay = false
            return question.isRepeated
        }
        if isRepeated { ask(query) }
    }

    // MARK: Cluster

    /// Ends the connections to other addresses than these, which then connect to another node of the cluster.
    func notify(outside addresses: Set<String>) {
        let reason = EventBusError(.unavailable, "this node does not serve slots of the Redis cluster any more")
        for connection in connections {
            guard let server = connection.presence.server, !addresses.contains(server.address.description) else {
                continue
            }
            connection.thread.execute { connection.assumeIsolated { $0.leaveServer(reason) } }
        }
    }
}

extension EventBusError {
    fileprivate static var anotherPrimary: EventBusError {
        EventBusError(.unavailable, "Redis Sentinel names another primary")
    }
}

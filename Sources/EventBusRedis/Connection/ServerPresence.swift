import EventBus

/// The server that a connection has reached, as far as it can be identified.
struct ServerIdentity: Hashable, Sendable, CustomStringConvertible {
    /// The random identity of this run of the server's process, or `nil` if the server does not tell.
    let runID: String?
    let address: SocketAddress

    /// Returns a Boolean value indicating whether both are the same server. Servers are compared by the identity that
    /// they report, or by address if they report none.
    func isSameServer(as other: ServerIdentity) -> Bool {
        if let runID, let otherID = other.runID { return runID == otherID }
        return address == other.address
    }

    var description: String { "\(address) (run \(runID?.prefix(8) ?? "unknown"))" }
}

/// The server that a connection for commands has reached. The connections that have to be on the same server observe
/// it.
final class ServerPresence: Sendable {
    private struct Observer: Sendable {
        weak let connection: RedisConnection?
    }

    private struct State {
        var server: ServerIdentity?
        var observers: [Observer] = []
    }

    private let state = Locked(State())

    /// The server, or `nil` while there is no connection.
    var server: ServerIdentity? { state.withLock { $0.server } }

    /// The server that one of the observers has reached.
    var observedServer: ServerIdentity? {
        let observers = state.withLock { $0.observers }
        return observers.lazy.compactMap { $0.connection?.presence.server }.first
    }

    /// Sets the server. Returns the connections that have to be notified.
    func set(_ server: ServerIdentity?) -> [RedisConnection] {
        state.withLock { state in
            guard state.server != server else { return [] }
            state.server = server
            return state.observers.compactMap(\.connection)
        }
    }

    /// Adds a connection that is notified of each change. It is not retained.
    func add(observer connection: RedisConnection) {
        state.withLock { state in
            state.observers.removeAll { $0.connection == nil }
            state.observers.append(Observer(connection: connection))
        }
    }
}

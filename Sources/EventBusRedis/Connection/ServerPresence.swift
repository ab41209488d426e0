import EventBus

/// The server that a connection has reached, as far as it can be told.
struct ServerIdentity: Hashable, Sendable, CustomStringConvertible {
    /// The random identity of this run of the server's process; `nil` if the server does not say.
    let runID: String?
    let address: SocketAddress

    /// Whether both are the same server: by its own word, or by its address where it gives none.
    func isSameServer(as other: ServerIdentity) -> Bool {
        if let runID, let otherID = other.runID { return runID == otherID }
        return address == other.address
    }

    var description: String { "\(address) (run \(runID?.prefix(8) ?? "unknown"))" }
}

/// Which server a connection for commands is on at present, for the connections that have to be on the same one.
final class ServerPresence: Sendable {
    private struct Observer: Sendable {
        weak let connection: RedisConnection?
    }

    private struct State {
        var server: ServerIdentity?
        var observers: [Observer] = []
    }

    private let state = Locked(State())

    /// The server; `nil` while there is no connection.
    var server: ServerIdentity? { state.withLock { $0.server } }

    /// Notes the server; returns the connections that have to be told.
    func set(_ server: ServerIdentity?) -> [RedisConnection] {
        state.withLock { state in
            guard state.server != server else { return [] }
            state.server = server
            return state.observers.compactMap(\.connection)
        }
    }

    /// Adds a connection that has to be told of each change. It is not retained.
    func add(observer connection: RedisConnection) {
        state.withLock { state in
            state.observers.removeAll { $0.connection == nil }
            state.observers.append(Observer(connection: connection))
        }
    }
}

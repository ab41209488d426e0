/// Where a Redis server is, and how patient to be with it.
///
/// Redis 6.2 and later, one server or the one that a proxy or a virtual address leads to. Redirections of Redis Cluster
/// are not followed. What is printed of a configuration never shows the password.
public struct RedisConfiguration: Hashable, Sendable {
    /// What to connect to.
    public enum Endpoint: Hashable, Sendable {
        /// A host name or address, and a port.
        case tcp(host: String, port: Int)
        /// The path of a unix socket.
        case unix(path: String)
    }

    /// What to connect to; `127.0.0.1:6379` unless stated.
    public var endpoint: Endpoint
    /// The user, where the server has several; none unless stated.
    public var username: String?
    /// The password; none unless stated.
    public var password: String?
    /// The number of the database; 0 unless stated.
    public var database: Int
    /// What `CLIENT LIST` shows this process as; without spaces. `eventbus` unless stated.
    public var clientName: String
    /// How long finding, connecting to and greeting the server may take together; 5 s unless stated. The addresses of a
    /// host share it, so that one that swallows everything does not hide those behind it.
    public var connectTimeout: Duration
    /// How long a command may take, waiting for a connection included; 2 s unless stated.
    public var commandTimeout: Duration
    /// After how long a silent connection is asked whether it still works; one that does not answer within the same
    /// time again is given up. 2 s unless stated.
    public var heartbeat: Duration
    /// The longest first pause before a lost connection is tried again; it doubles with each failure. 50 ms unless
    /// stated. Each pause is drawn at random between zero and that (full jitter).
    public var reconnectDelay: Duration
    /// What that pause does not grow beyond; 2 s unless stated.
    public var maximumReconnectDelay: Duration
    /// How many commands may be on their way at once; further ones wait. 8,192 unless stated.
    public var maximumInFlight: Int
    /// How many bytes of commands may be on their way at once; 16 MiB unless stated.
    public var maximumInFlightBytes: Int
    /// How many commands may wait to be sent; further ones are refused with `.blocked`, save those of one call where none
    /// wait. 100,000 unless stated.
    public var maximumQueued: Int
    /// How many bytes of commands may wait to be sent; further ones are refused with `.blocked`, save those of one call
    /// where none wait. 64 MiB unless stated.
    public var maximumQueuedBytes: Int
    /// The largest reply that is taken, in bytes; a larger one ends the connection. 64 MiB unless stated.
    public var maximumReplySize: Int

    /// A configuration with the usual values.
    public init(
        endpoint: Endpoint = .tcp(host: "127.0.0.1", port: 6379),
        username: String? = nil,
        password: String? = nil,
        database: Int = 0
    ) {
        self.endpoint = endpoint
        self.username = username
        self.password = password
        self.database = database
        self.clientName = "eventbus"
        self.connectTimeout = .seconds(5)
        self.commandTimeout = .seconds(2)
        self.heartbeat = .seconds(2)
        self.reconnectDelay = .milliseconds(50)
        self.maximumReconnectDelay = .seconds(2)
        self.maximumInFlight = 8192
        self.maximumInFlightBytes = 16 << 20
        self.maximumQueued = 100_000
        self.maximumQueuedBytes = 64 << 20
        self.maximumReplySize = 64 << 20
    }
}

extension RedisConfiguration: CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
    /// The address as a URI, without the password.
    public var description: String {
        let user = username.map { "\($0)" } ?? ""
        let login = password != nil ? "\(user):***@" : username != nil ? "\(user)@" : ""
        switch endpoint {
        case .tcp(let host, let port):
            let host = host.contains(":") ? "[\(host)]" : host
            return "redis://\(login)\(host):\(port)/\(database)"
        case .unix(let path):
            return "redis+unix://\(login)\(path)?db=\(database)"
        }
    }

    /// The same as ``description``.
    public var debugDescription: String { description }

    /// Shows nothing but ``description``, so that `dump` does not print the password either.
    public var customMirror: Mirror { Mirror(self, children: ["uri": description]) }
}

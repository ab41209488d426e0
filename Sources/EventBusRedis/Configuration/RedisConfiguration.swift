public import EventBus

/// The address of a Redis server, and the limits and timeouts of its connections.
///
/// The server is Redis 6.2 or later: a single server, the one behind a proxy or virtual address, the primary that Redis
/// Sentinel names, or a Redis Cluster. Descriptions of a configuration never show the password.
///
/// ```swift
/// var configuration = RedisConfiguration(endpoint: .tcp(host: "cache.internal", port: 6379), credentials: .init(password: secret))
/// configuration.commandTimeout = .seconds(1)
/// ```
public struct RedisConfiguration: Sendable {
    /// The address of a server.
    ///
    /// ```swift
    /// configuration.endpoint = .sentinel(hosts: [.init("sentinel-1"), .init("sentinel-2")], service: "orders")
    /// ```
    public enum Endpoint: Hashable, Sendable {
        /// A host name or address, and a port.
        case tcp(host: String, port: Int)
        /// The path of a Unix domain socket.
        case unix(path: String)
        /// The primary of a service that Redis Sentinel monitors, and the addresses of the Sentinels.
        ///
        /// All Sentinels are asked for the primary at each connection, and the client reconnects when they announce
        /// another one.
        case sentinel(hosts: [Host], service: String)
        /// A Redis Cluster, and the addresses of some of its nodes.
        ///
        /// Any node tells the addresses of the others, so one that is reachable suffices.
        case cluster(hosts: [Host])
    }

    /// The address of a Redis Sentinel, or of a node of a cluster.
    public struct Host: Hashable, Sendable {
        /// A host name or an IP address.
        public var name: String
        /// The TCP port, or `nil` for the default: 26379 for a Sentinel, and 6379 for a node of a cluster.
        public var port: Int?

        /// Creates the address `name`:`port`.
        public init(_ name: String, port: Int? = nil) {
            self.name = name
            self.port = port
        }

        var sentinelPort: Int { port ?? 26379 }
        var nodePort: Int { port ?? 6379 }

        /// Returns the address as text, with the name in brackets if it is an IPv6 address.
        func text(_ port: Int) -> String { name.contains(":") ? "[\(name)]:\(port)" : "\(name):\(port)" }
    }

    /// A user and a password. A description does not show the password.
    ///
    /// ```swift
    /// configuration.credentials = .init(user: "orders", password: secret)
    /// ```
    public struct Credentials: Hashable, Sendable, CustomStringConvertible, CustomReflectable {
        /// The user, or `nil` for the default user.
        public var user: String?
        /// The password.
        public var password: String

        /// Creates credentials.
        public init(user: String? = nil, password: String) {
            self.user = user
            self.password = password
        }

        /// The user's name without the password.
        public var description: String { "\(user ?? ""):***" }

        /// The user's name without the password.
        public var customMirror: Mirror { Mirror(self, children: ["user": user ?? "", "password": "***"]) }
    }

    /// The address of the server. Defaults to `127.0.0.1:6379`.
    public var endpoint: Endpoint
    /// The login, or `nil` if the server requires none. Defaults to `nil`.
    public var credentials: Credentials?
    /// A closure that returns the credentials for each login, instead of ``credentials``, for rotated passwords or the
    /// tokens of managed services. Defaults to `nil`.
    ///
    /// ```swift
    /// configuration.credentialsProvider = {
    ///     RedisConfiguration.Credentials(user: "orders", password: try await vault.currentToken())
    /// }
    /// ```
    ///
    /// It runs on the cooperative thread pool, within ``connectTimeout``, and is cancelled afterwards. An error counts
    /// as a failed connection attempt, and is retried.
    public var credentialsProvider: (@Sendable () async throws -> Credentials)?
    /// The login of the Sentinels, or `nil` if they require none. Defaults to `nil`.
    public var sentinelCredentials: Credentials?
    /// The TLS settings, or `nil` for no encryption. Defaults to `nil`.
    public var tls: TLS?
    /// The number of the database. Defaults to 0.
    public var database: Int
    /// The name of this process in the output of `CLIENT LIST`, without spaces. Defaults to `eventbus`.
    public var clientName: String
    /// The maximum duration of a connection attempt: name resolution, connecting and the greeting together. The
    /// addresses of a host share it, so that one address that drops everything does not hide the others. Defaults to 5
    /// s.
    public var connectTimeout: Duration
    /// The maximum duration of a command, including the wait for a connection. Defaults to 2 s.
    ///
    /// Progress is a sign of life: a large reply is waited for while its bytes arrive, and a large command, and those behind
    /// it, have the time that a transfer of 256 KiB a second takes.
    public var commandTimeout: Duration
    /// The time after which a silent connection is probed. It is closed if it does not answer within the same time
    /// again. Defaults to 2 s.
    public var heartbeat: Duration
    /// The delays before reconnecting. Defaults to up to 50 ms at first, and up to 2 s later.
    public var reconnect: ReconnectDelays
    /// The maximum number of commands in flight. Further ones wait. Defaults to 8,192.
    public var maximumInFlight: Int
    /// The maximum size in bytes of the commands in flight. Defaults to 16 MiB.
    public var maximumInFlightBytes: Int
    /// The maximum number of commands that wait to be sent. Further ones are refused with `.blocked`, except for those
    /// of a single call if no others wait. Defaults to 100,000.
    public var maximumQueued: Int
    /// The maximum size in bytes of the commands that wait to be sent. Further ones are refused with `.blocked`, except
    /// for those of a single call if no others wait. Defaults to 64 MiB.
    public var maximumQueuedBytes: Int
    /// The maximum size of a reply in bytes. A larger one ends the connection. Defaults to 64 MiB.
    public var maximumReplySize: Int
    /// A Boolean value indicating whether the server is one of several nodes, each of which this client connects to.
    var isClusterNode = false

    /// Creates a configuration. The values that are not parameters have their defaults and can be changed afterwards.
    public init(
        endpoint: Endpoint = .tcp(host: "127.0.0.1", port: 6379),
        credentials: Credentials? = nil,
        database: Int = 0,
        tls: TLS? = nil
    ) {
        self.endpoint = endpoint
        self.credentials = credentials
        self.database = database
        self.tls = tls
        self.clientName = "eventbus"
        self.connectTimeout = .seconds(5)
        self.commandTimeout = .seconds(2)
        self.heartbeat = .seconds(2)
        self.reconnect = ReconnectDelays(initial: .milliseconds(50), maximum: .seconds(2))
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
        let login = credentials.map { "\($0)@" } ?? ""
        switch endpoint {
        case .tcp(let host, let port):
            let host = host.contains(":") ? "[\(host)]" : host
            return "redis\(tls == nil ? "" : "s")://\(login)\(host):\(port)/\(database)"
        case .unix(let path):
            return "redis+unix://\(login)\(path)?db=\(database)"
        case .sentinel(let hosts, let service):
            let names = hosts.map { $0.text($0.sentinelPort) }
            let scheme = tls == nil ? "redis+sentinel" : "rediss+sentinel"
            return "\(scheme)://\(login)\(names.joined(separator: ","))/\(service)/\(database)"
        case .cluster(let hosts):
            let names = hosts.map { $0.text($0.nodePort) }
            return "redis\(tls == nil ? "" : "s")+cluster://\(login)\(names.joined(separator: ","))"
        }
    }

    /// The same text as ``description``.
    public var debugDescription: String { description }

    /// A mirror that shows only ``description``, so that `dump` does not print the password either.
    public var customMirror: Mirror { Mirror(self, children: ["uri": description]) }
}

extension RedisConfiguration {
    /// A Boolean value indicating whether the configuration names a cluster.
    var isCluster: Bool { if case .cluster = endpoint { true } else { false } }

    /// A Boolean value indicating whether the server may be one of several shards.
    var isPartOfCluster: Bool { isCluster || isClusterNode }

    /// Returns the configuration for one node of the cluster.
    func forNode(_ address: NodeAddress) -> RedisConfiguration {
        var configuration = self
        configuration.endpoint = .tcp(host: address.host, port: address.port)
        configuration.isClusterNode = true
        return configuration
    }
}

public import Configuration
import EventBus

extension RedisConfiguration {
    /// Creates a configuration from a configuration reader.
    ///
    /// | key | type | meaning | default |
    /// |---|---|---|---|
    /// | `uri` | string, secret | address, login and database, see ``init(uri:)`` | `redis://127.0.0.1:6379/0` |
    /// | `user` | string | the user, which overrides the one in the URI | none |
    /// | `password` | string, secret | the password, which overrides the one in the URI | none |
    /// | `clientName` | string | the name of this process in the server's client list | `eventbus` |
    /// | `connectTimeout` | double, seconds | see ``connectTimeout`` | 5 |
    /// | `commandTimeout` | double, seconds | see ``commandTimeout`` | 2 |
    /// | `heartbeat` | double, seconds | see ``heartbeat`` | 2 |
    /// | `tls.caFile` | string | the trusted authorities, in PEM | the system's |
    /// | `tls.certificateFile` | string | the client certificate, in PEM | none |
    /// | `tls.keyFile` | string | its key, in PEM | none |
    /// | `tls.keyPassword` | string, secret | the password of the key | none |
    /// | `tls.serverName` | string | see ``TLS/serverName`` | the host |
    /// | `tls.insecureSkipsVerification` | bool | see ``TLS/insecureSkipsVerification`` | false |
    ///
    /// The keys under `tls` require a `rediss` URI, and are an error with another one. Scope the reader to prefix the keys: `config.scoped(to: "redis")`.
    ///
    /// - Throws: ``/EventBus/EventBusError`` with code `.invalidConfiguration`, which names the key.
    public init(config: ConfigReader) throws {
        if let uri = config.string(forKey: "uri", isSecret: true) {
            try self.init(uri: uri)
        } else {
            self.init()
        }
        try readCredentials(config)
        if let clientName = config.string(forKey: "clientName") { self.clientName = clientName }
        try config.read("connectTimeout", into: &connectTimeout, allowingZero: false)
        try config.read("commandTimeout", into: &commandTimeout, allowingZero: false)
        try config.read("heartbeat", into: &heartbeat, allowingZero: false)
        try readTLS(config)
    }

    private mutating func readCredentials(_ config: ConfigReader) throws(EventBusError) {
        guard config.string(forKey: "username") == nil else {
            throw EventBusError(.invalidConfiguration, "username is given; the key is user")
        }
        let user = config.string(forKey: "user")
        if let password = config.string(forKey: "password", isSecret: true) ?? credentials?.password {
            credentials = Credentials(user: user ?? credentials?.user, password: password)
        } else if user != nil {
            throw EventBusError(.invalidConfiguration, "user is given without a password; Redis needs both")
        }
    }

    private mutating func readTLS(_ config: ConfigReader) throws(EventBusError) {
        var tls = tls ?? TLS()
        var keys = TLSKeyReader(config)
        keys.read("caFile", into: &tls.caFile)
        keys.read("certificateFile", into: &tls.certificateFile)
        keys.read("keyFile", into: &tls.keyFile)
        keys.read("keyPassword", isSecret: true, into: &tls.keyPassword)
        keys.read("serverName", into: &tls.serverName)
        keys.read("insecureSkipsVerification", into: &tls.insecureSkipsVerification)
        try keys.check(isEncrypted: self.tls != nil, scheme: "rediss")
        if self.tls != nil { self.tls = tls }
    }
}

extension RedisConfiguration {
    /// Throws if a value is invalid. The message names the value.
    func validate() throws(EventBusError) {
        let durations: [(String, Duration)] = [
            ("connectTimeout", connectTimeout), ("commandTimeout", commandTimeout), ("heartbeat", heartbeat),
            ("reconnectDelay", reconnectDelay), ("maximumReconnectDelay", maximumReconnectDelay),
        ]
        for (name, value) in durations where value <= .zero {
            throw EventBusError(.invalidConfiguration, "\(name) is \(value); it has to be positive")
        }
        let numbers = [
            ("maximumInFlight", maximumInFlight), ("maximumInFlightBytes", maximumInFlightBytes),
            ("maximumQueued", maximumQueued), ("maximumQueuedBytes", maximumQueuedBytes),
            ("maximumReplySize", maximumReplySize),
        ]
        for (name, value) in numbers where value <= 0 {
            throw EventBusError(.invalidConfiguration, "\(name) is \(value); it has to be positive")
        }
        guard database >= 0 else {
            throw EventBusError(.invalidConfiguration, "database is \(database); it cannot be negative")
        }
        if case .sentinel(let hosts, let service) = endpoint {
            guard !service.isEmpty, Self.areValid(hosts) else {
                throw EventBusError(
                    .invalidConfiguration,
                    "endpoint lacks a Sentinel's host, the service, or a valid port"
                )
            }
        }
        if case .cluster(let hosts) = endpoint {
            guard Self.areValid(hosts) else {
                throw EventBusError(.invalidConfiguration, "endpoint lacks a node's host or a valid port")
            }
            guard database == 0 else {
                throw EventBusError(.invalidConfiguration, "database is \(database); a Redis cluster has only 0")
            }
        }
        if let tls {
            if case .unix = endpoint {
                throw EventBusError(.invalidConfiguration, "tls is set for a unix socket; it requires a host")
            }
            guard (tls.certificateFile == nil) == (tls.keyFile == nil) else {
                throw EventBusError(.invalidConfiguration, "tls.certificateFile and tls.keyFile go together")
            }
        }
        guard !clientName.isEmpty, clientName.utf8.allSatisfy({ (0x21...0x7E).contains($0) }) else {
            throw EventBusError(.invalidConfiguration, "clientName has to be of printable ASCII without spaces")
        }
        if case .unix(let path) = endpoint, path.isEmpty || path.utf8.count > 107 {
            throw EventBusError(.invalidConfiguration, "the path of the unix socket has to have 1 to 107 bytes")
        }
    }

    private static func areValid(_ hosts: [Host]) -> Bool {
        !hosts.isEmpty && hosts.allSatisfy { !$0.name.isEmpty && 1...65535 ~= $0.port ?? 1 }
    }
}

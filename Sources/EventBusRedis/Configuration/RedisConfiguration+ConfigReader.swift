public import Configuration
public import EventBus

extension RedisConfiguration {
    /// Creates a configuration from a configuration reader.
    ///
    /// | key | type | meaning | default |
    /// |---|---|---|---|
    /// | `uri` | string, secret | address, login and database, see ``init(uri:)`` | `redis://127.0.0.1:6379/0` |
    /// | `user` | string | the user, which overrides the one in the URI | none |
    /// | `password` | string, secret | the password, which overrides the one in the URI | none |
    /// | `database` | int | the database, which overrides the one in the URI | 0 |
    /// | `clientName` | string | the name of this process in the server's client list | `eventbus` |
    /// | `connectTimeout` | double, seconds | see ``connectTimeout`` | 5 |
    /// | `commandTimeout` | double, seconds | see ``commandTimeout`` | 2 |
    /// | `heartbeat` | double, seconds | see ``heartbeat`` | 2 |
    /// | `reconnect.initial` | double, seconds | the bound of the first delay | 0.05 |
    /// | `reconnect.maximum` | double, seconds | the maximum bound of a delay | 2 |
    /// | `maximumInFlight` | int | the maximum number of commands in flight | 8192 |
    /// | `maximumInFlightBytes` | int, bytes | the maximum size of commands in flight | 16777216 |
    /// | `maximumQueued` | int | see ``maximumQueued`` | 100000 |
    /// | `maximumQueuedBytes` | int, bytes | see ``maximumQueuedBytes`` | 67108864 |
    /// | `maximumReplySize` | int, bytes | see ``maximumReplySize`` | 67108864 |
    /// | `sentinel.user` | string | the user of the Sentinels | none |
    /// | `sentinel.password` | string, secret | the password of the Sentinels | none |
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
    public init(config: ConfigReader) throws(EventBusError) {
        if let uri = config.string(forKey: "uri", isSecret: true) {
            try self.init(uri: uri)
        } else {
            self.init()
        }
        try readCredentials(config)
        database = config.int(forKey: "database", default: database)
        clientName = config.string(forKey: "clientName", default: clientName)
        try config.read("connectTimeout", into: &connectTimeout, allowingZero: false)
        try config.read("commandTimeout", into: &commandTimeout, allowingZero: false)
        try config.read("heartbeat", into: &heartbeat, allowingZero: false)
        try config.read("reconnect", into: &reconnect)
        maximumInFlight = config.int(forKey: "maximumInFlight", default: maximumInFlight)
        maximumInFlightBytes = config.int(forKey: "maximumInFlightBytes", default: maximumInFlightBytes)
        maximumQueued = config.int(forKey: "maximumQueued", default: maximumQueued)
        maximumQueuedBytes = config.int(forKey: "maximumQueuedBytes", default: maximumQueuedBytes)
        maximumReplySize = config.int(forKey: "maximumReplySize", default: maximumReplySize)
        try readTLS(config)
        try validate()
    }

    private mutating func readCredentials(_ config: ConfigReader) throws(EventBusError) {
        guard config.string(forKey: "username") == nil else {
            throw EventBusError(.invalidConfiguration, "username is given; the key is user")
        }
        try config.read("", into: &credentials)
        try config.read("sentinel.", into: &sentinelCredentials)
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

extension ConfigReader {
    /// Reads a user and a password, whose keys begin with `prefix`.
    fileprivate func read(
        _ prefix: String,
        into credentials: inout RedisConfiguration.Credentials?
    ) throws(EventBusError) {
        let user = string(forKey: ConfigKey("\(prefix)user"))
        let password = string(forKey: ConfigKey("\(prefix)password"), isSecret: true)
        if let password = password ?? credentials?.password {
            credentials = RedisConfiguration.Credentials(user: user ?? credentials?.user, password: password)
        } else if user != nil {
            throw EventBusError(.invalidConfiguration, "\(prefix)user is given without a password; Redis needs both")
        }
    }
}

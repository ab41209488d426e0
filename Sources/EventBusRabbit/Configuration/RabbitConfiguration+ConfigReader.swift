public import Configuration
public import EventBus

extension RabbitConfiguration {
    /// Creates a configuration from a configuration reader.
    ///
    /// | key | type | meaning | default |
    /// |---|---|---|---|
    /// | `uri` | string, secret | the address and the login, see ``init(uri:)`` | required |
    /// | `user` | string | the user, which overrides the one in the URI | the URI's |
    /// | `password` | string, secret | the password, which overrides the one in the URI | the URI's |
    /// | `virtualHost` | string | the virtual host, which overrides the one in the URI | the URI's |
    /// | `exchange` | string | the topic exchange for events | `events` |
    /// | `queueType` | `quorum` or `classic` | the type of subscriptions' queues | `quorum` |
    /// | `declaration` | `active` or `passive` | see ``declaration`` | `active` |
    /// | `scheduling` | `shared`, `own` or `isolated` | see ``scheduling`` | `own` |
    /// | `allowedReplyQueues` | string array | see ``allowedReplyQueues`` | none |
    /// | `livenessTimeout` | double, seconds | see ``livenessTimeout``; 0 for no limit | 600 |
    /// | `clientName` | string | the name of the connections in the broker's tools | `eventbus` |
    /// | `heartbeat` | double, seconds | see ``heartbeat``; 0 to disable it | 10 |
    /// | `connectTimeout` | double, seconds | see ``connectTimeout`` | 5 |
    /// | `commandTimeout` | double, seconds | see ``commandTimeout`` | 15 |
    /// | `maximumUnconfirmedEvents` | int | the maximum number of unconfirmed events | 1000 |
    /// | `maximumUnconfirmedBytes` | int | the maximum size of unconfirmed events | 16777216 |
    /// | `maximumBodySize` | int, bytes | the maximum size of a payload | 16777216 |
    /// | `reconnect.initial` | double, seconds | the bound of the first delay | 0.1 |
    /// | `reconnect.maximum` | double, seconds | the maximum bound of a delay | 5 |
    /// | `newQueueGracePeriod` | double, seconds | see ``newQueueGracePeriod`` | 2 |
    /// | `consumerCheckInterval` | double, seconds | see ``consumerCheckInterval`` | 1 |
    /// | `tls.caFile` | string | the trusted authorities, in PEM | Debian's bundle |
    /// | `tls.certificateFile` | string | the client certificate, in PEM | none |
    /// | `tls.keyFile` | string | its key, in PEM | none |
    /// | `tls.keyPassword` | string, secret | the password of the key | none |
    /// | `tls.usesCertificateIdentity` | bool | see ``TLS/usesCertificateIdentity`` | false |
    /// | `tls.insecureSkipsVerification` | bool | see ``TLS/insecureSkipsVerification`` | false |
    ///
    /// `tls.serverName` is an error, because the requested and verified name is that of the host. See ``TLS``.
    ///
    /// The keys under `tls` require an `amqps` URI, and are an error with another one. Scope the reader to prefix the
    /// keys: `config.scoped(to: "rabbitmq")`.
    ///
    /// - Throws: ``/EventBus/EventBusError`` with code `.invalidConfiguration`, which names the key.
    public init(config: ConfigReader) throws(EventBusError) {
        guard let uri = config.string(forKey: "uri", isSecret: true) else {
            throw EventBusError(
                .invalidConfiguration,
                "uri is missing; give one such as amqp://user:password@host/vhost"
            )
        }
        try self.init(uri: uri)
        credentials.user = config.string(forKey: "user", default: credentials.user)
        credentials.password = config.string(forKey: "password", isSecret: true, default: credentials.password)
        virtualHost = config.string(forKey: "virtualHost", default: virtualHost)
        exchange = config.string(forKey: "exchange", default: exchange)
        clientName = config.string(forKey: "clientName", default: clientName)
        try config.read("queueType", into: &queueType)
        try config.read("declaration", into: &declaration)
        try config.read("scheduling", into: &scheduling)
        allowedReplyQueues = config.stringArray(forKey: "allowedReplyQueues", default: allowedReplyQueues)
        var liveness = livenessTimeout ?? .zero
        try config.read("livenessTimeout", into: &liveness, allowingZero: true)
        livenessTimeout = liveness > .zero ? liveness : nil
        try config.read("heartbeat", into: &heartbeat, allowingZero: true)
        try config.read("connectTimeout", into: &connectTimeout, allowingZero: false)
        try config.read("commandTimeout", into: &commandTimeout, allowingZero: false)
        try config.read("reconnect", into: &reconnect)
        try config.read("newQueueGracePeriod", into: &newQueueGracePeriod, allowingZero: true)
        try config.read("consumerCheckInterval", into: &consumerCheckInterval, allowingZero: false)
        maximumUnconfirmedEvents = config.int(forKey: "maximumUnconfirmedEvents", default: maximumUnconfirmedEvents)
        maximumUnconfirmedBytes = config.int(forKey: "maximumUnconfirmedBytes", default: maximumUnconfirmedBytes)
        maximumBodySize = config.int(forKey: "maximumBodySize", default: maximumBodySize)
        try readTLS(config)
        try validate()
    }

    private mutating func readTLS(_ config: ConfigReader) throws(EventBusError) {
        if config.string(forKey: "tls.serverName") != nil {
            throw EventBusError(.invalidConfiguration, "tls.serverName is given, but \(Self.noServerName)")
        }
        var tls = tls ?? TLS()
        var keys = TLSKeyReader(config)
        keys.read("caFile", into: &tls.caFile)
        keys.read("certificateFile", into: &tls.certificateFile)
        keys.read("keyFile", into: &tls.keyFile)
        keys.read("keyPassword", isSecret: true, into: &tls.keyPassword)
        keys.read("usesCertificateIdentity", into: &tls.usesCertificateIdentity)
        keys.read("insecureSkipsVerification", into: &tls.insecureSkipsVerification)
        try keys.check(isEncrypted: self.tls != nil, scheme: "amqps")
        if self.tls != nil { self.tls = tls }
    }
}

extension ConfigReader {
    /// Reads one of several words. Leaves `value` unchanged if the key is missing.
    fileprivate func read<Value: RawRepresentable<String>>(
        _ key: String,
        into value: inout Value
    ) throws(EventBusError) {
        guard let text = string(forKey: ConfigKey(key)) else { return }
        guard let known = Value(rawValue: text) else {
            throw EventBusError(
                .invalidConfiguration,
                "\(key) is \(text.quotedForError), which is not one of its words"
            )
        }
        value = known
    }
}

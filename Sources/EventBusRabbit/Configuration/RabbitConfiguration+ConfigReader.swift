public import Configuration
import EventBus

extension RabbitConfiguration {
    /// A configuration from a configuration reader.
    ///
    /// | key | type | meaning | default |
    /// |---|---|---|---|
    /// | `uri` | string, secret | where the broker is, and as whom; see ``init(uri:)`` | required |
    /// | `user` | string | the user, instead of the URI's | the URI's |
    /// | `password` | string, secret | the password, instead of the URI's | the URI's |
    /// | `virtualHost` | string | the virtual host, instead of the URI's | the URI's |
    /// | `exchange` | string | the topic exchange events go to | `events` |
    /// | `queueType` | `quorum` or `classic` | the kind of subscriptions' queues | `quorum` |
    /// | `declaration` | `active` or `passive` | who declares exchanges and queues | `active` |
    /// | `scheduling` | `shared`, `own` or `isolated` | to which subscriptions scheduled events come | `own` |
    /// | `allowedReplyQueues` | string array | where replies may go beside direct reply-to | none |
    /// | `livenessTimeout` | double, seconds | without a connection until health is not live; 0 for never | 600 |
    /// | `connectionName` | string | what the broker's tools call our connections | `eventbus` |
    /// | `heartbeat` | double, seconds | silence after which both sides ask; 0 for none | 10 |
    /// | `connectTimeout` | double, seconds | for connecting, and again for logging in | 5 |
    /// | `callTimeout` | double, seconds | for an answer of the broker | 15 |
    /// | `maximumUnconfirmedEvents` | int | events that may be unconfirmed | 1000 |
    /// | `maximumUnconfirmedBytes` | int | bytes that may be unconfirmed | 16777216 |
    /// | `maximumBodySize` | int, bytes | the largest payload | 16777216 |
    /// | `reconnect.initial` | double, seconds | the bound of the first wait | 0.1 |
    /// | `reconnect.maximum` | double, seconds | the bound of every wait | 5 |
    /// | `newQueueSettling` | double, seconds | until a new quorum queue counts as attached | 2 |
    /// | `consumerCheckInterval` | double, seconds | between two checks of the consumers | 1 |
    /// | `tls.caFile` | string | the authorities that are trusted, in PEM | Debian's bundle |
    /// | `tls.certificateFile` | string | our certificate, in PEM | none |
    /// | `tls.keyFile` | string | its key, in PEM | none |
    /// | `tls.keyPassword` | string, secret | what opens the key | none |
    /// | `tls.usesCertificateIdentity` | bool | the certificate says who we are | false |
    /// | `tls.insecureSkipsVerification` | bool | anyone may pose as the broker | false |
    ///
    /// `tls.serverName` is an error: the name that is asked for and checked is the host's; see ``TLS``.
    ///
    /// The keys under `tls` count with an `amqps` URI only; with another they are an error. Scope the reader to give the
    /// keys a prefix: `config.scoped(to: "rabbitmq")`.
    ///
    /// - Throws: ``/EventBus/EventBusError`` with code `.invalidConfiguration`, which names the key.
    public init(config: ConfigReader) throws {
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
        connectionName = config.string(forKey: "connectionName", default: connectionName)
        try config.read("queueType", into: &queueType)
        try config.read("declaration", into: &declaration)
        try config.read("scheduling", into: &scheduling)
        allowedReplyQueues = config.stringArray(forKey: "allowedReplyQueues", default: allowedReplyQueues)
        var liveness = livenessTimeout ?? .zero
        try config.read("livenessTimeout", into: &liveness, allowingZero: true)
        livenessTimeout = liveness > .zero ? liveness : nil
        try config.read("heartbeat", into: &heartbeat, allowingZero: true)
        try config.read("connectTimeout", into: &connectTimeout, allowingZero: false)
        try config.read("callTimeout", into: &callTimeout, allowingZero: false)
        try config.read("reconnect.initial", into: &reconnect.initial, allowingZero: true)
        try config.read("reconnect.maximum", into: &reconnect.maximum, allowingZero: true)
        try config.read("newQueueSettling", into: &newQueueSettling, allowingZero: true)
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
        var given: [String] = []
        func text(_ key: String, isSecret: Bool = false) -> String? {
            let value = config.string(forKey: ConfigKey(key), isSecret: isSecret)
            if value != nil { given.append(key) }
            return value
        }
        if let file = text("tls.caFile") { tls.caFile = file }
        if let file = text("tls.certificateFile") { tls.certificateFile = file }
        if let file = text("tls.keyFile") { tls.keyFile = file }
        if let password = text("tls.keyPassword", isSecret: true) { tls.keyPassword = password }
        if let flag = config.bool(forKey: "tls.usesCertificateIdentity") {
            given.append("tls.usesCertificateIdentity")
            tls.usesCertificateIdentity = flag
        }
        if let flag = config.bool(forKey: "tls.insecureSkipsVerification") {
            given.append("tls.insecureSkipsVerification")
            tls.insecureSkipsVerification = flag
        }
        if self.tls != nil {
            self.tls = tls
        } else if let key = given.first {
            throw EventBusError(.invalidConfiguration, "\(key) is given, but the URI is not amqps://")
        }
    }
}

extension ConfigReader {
    /// Reads one of a few words; leaves `value` alone where the key is absent.
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

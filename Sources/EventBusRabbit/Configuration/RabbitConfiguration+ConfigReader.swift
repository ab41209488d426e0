public import Configuration
import EventBus

extension RabbitConfiguration {
    /// A configuration from a configuration reader.
    ///
    /// | key | type | meaning | default |
    /// |---|---|---|---|
    /// | `uri` | string, secret | where the brokers are and who we are, as ``init(uri:)`` reads it | required |
    /// | `user` | string | overrides the URI's user | the URI's |
    /// | `password` | string, secret | overrides the URI's password | the URI's |
    /// | `virtualHost` | string | overrides the URI's virtual host | the URI's |
    /// | `exchange` | string | the topic exchange for events | `events` |
    /// | `connectionName` | string | what the broker's tools call the connections | `eventbus` |
    /// | `queueType` | `quorum` or `classic` | the kind of queue that subscriptions get | `quorum` |
    /// | `declaration` | `active` or `passive` | who declares exchanges and queues | `active` |
    /// | `heartbeat` | double, seconds | silence after which both sides ask | 10 |
    /// | `connectTimeout` | double, seconds | connecting and logging in, each | 5 |
    /// | `callTimeout` | double, seconds | answers of the broker | 15 |
    /// | `reconnectInitial` | double, seconds | bound of the first wait before connecting again | 0.1 |
    /// | `reconnectMaximum` | double, seconds | bound that no wait exceeds | 5 |
    /// | `maximumUnconfirmedEvents` | int | published events in flight | 1000 |
    /// | `maximumUnconfirmedBytes` | int, bytes | their size in all | 16777216 |
    /// | `maximumBodySize` | int, bytes | the largest payload | 16777216 |
    /// | `tls.caFile` | string | trusted authorities in PEM | Debian's bundle |
    /// | `tls.certificateFile` | string | our certificate in PEM | none |
    /// | `tls.keyFile` | string | its key in PEM | none |
    /// | `tls.keyPassword` | string, secret | what opens the key | none |
    /// | `tls.insecureSkipsVerification` | bool | whether anyone may pose as the broker | false |
    ///
    /// The keys under `tls` need a URI that begins with `amqps://`. Scope the reader to give the keys a prefix:
    /// `config.scoped(to: "rabbitmq")`.
    ///
    /// - Throws: ``EventBusError`` with code `.invalidConfiguration`, which names the key and never a secret.
    public init(config: ConfigReader) throws {
        guard let uri = config.string(forKey: "uri", isSecret: true) else {
            throw EventBusError(.invalidConfiguration, "uri is missing: give amqp://user:password@host/virtual-host")
        }
        try self.init(uri: uri)
        if let user = config.string(forKey: "user") { credentials.user = user }
        if let password = config.string(forKey: "password", isSecret: true) { credentials.password = password }
        virtualHost = config.string(forKey: "virtualHost", default: virtualHost)
        exchange = config.string(forKey: "exchange", default: exchange)
        connectionName = config.string(forKey: "connectionName", default: connectionName)
        queueType = try config.choice("queueType", default: queueType)
        declaration = try config.choice("declaration", default: declaration)
        try config.read("heartbeat", into: &heartbeat, allowingZero: true)
        try config.read("connectTimeout", into: &connectTimeout, allowingZero: false)
        try config.read("callTimeout", into: &callTimeout, allowingZero: false)
        try config.read("reconnectInitial", into: &reconnect.initial, allowingZero: true)
        try config.read("reconnectMaximum", into: &reconnect.maximum, allowingZero: true)
        maximumUnconfirmedEvents = config.int(forKey: "maximumUnconfirmedEvents", default: maximumUnconfirmedEvents)
        maximumUnconfirmedBytes = config.int(forKey: "maximumUnconfirmedBytes", default: maximumUnconfirmedBytes)
        maximumBodySize = config.int(forKey: "maximumBodySize", default: maximumBodySize)
        try readTLS(config.scoped(to: "tls"))
        try validate()
    }

    private mutating func readTLS(_ config: ConfigReader) throws {
        let caFile = config.string(forKey: "caFile")
        let certificateFile = config.string(forKey: "certificateFile")
        let keyFile = config.string(forKey: "keyFile")
        let keyPassword = config.string(forKey: "keyPassword", isSecret: true)
        let skipsVerification = config.bool(forKey: "insecureSkipsVerification")
        guard var tls else {
            guard caFile == nil, certificateFile == nil, keyFile == nil, keyPassword == nil, skipsVerification == nil
            else { throw EventBusError(.invalidConfiguration, "tls is configured, but uri does not begin with amqps://") }
            return
        }
        if let caFile { tls.caFile = caFile }
        if let certificateFile { tls.certificateFile = certificateFile }
        if let keyFile { tls.keyFile = keyFile }
        if let keyPassword { tls.keyPassword = keyPassword }
        if let skipsVerification { tls.insecureSkipsVerification = skipsVerification }
        self.tls = tls
    }
}

extension ConfigReader {
    /// Reads one of the words that an enumeration allows.
    fileprivate func choice<Choice: RawRepresentable & CaseIterable>(
        _ key: String,
        default value: Choice
    ) throws(EventBusError) -> Choice where Choice.RawValue == String {
        guard let text = string(forKey: ConfigKey(key)) else { return value }
        guard let choice = Choice(rawValue: text) else {
            let allowed = Choice.allCases.map(\.rawValue).joined(separator: " or ")
            throw EventBusError(.invalidConfiguration, "\(key) is \(text.quotedForError); give \(allowed)")
        }
        return choice
    }
}

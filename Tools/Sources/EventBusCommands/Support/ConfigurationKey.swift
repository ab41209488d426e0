import Configuration

/// A key of the transport's configuration, see `RabbitConfiguration(config:)`.
///
/// A reader ignores keys that it does not know, and values of other kinds. A tool would then use a default, and publish to
/// another exchange, for example.
struct ConfigurationKey: Sendable {
    /// The kind of a value, as a phrase for people.
    enum Kind: String, Sendable {
        case text = "a text"
        case texts = "an array of texts"
        case integer = "a whole number"
        case number = "a number"
        case flag = "true or false"
    }

    var kind: Kind
    var isSecret = false

    /// The keys.
    static let all: [String: ConfigurationKey] = {
        let kinds: [Kind: [String]] = [
            .text: [
                "uri", "user", "password", "virtualHost", "exchange", "queueType", "declaration", "scheduling",
                "clientName", "tls.caFile", "tls.certificateFile", "tls.keyFile", "tls.keyPassword", "tls.serverName",
            ],
            .texts: ["allowedReplyQueues"],
            .integer: ["maximumUnconfirmedEvents", "maximumUnconfirmedBytes", "maximumBodySize"],
            .number: [
                "livenessTimeout", "heartbeat", "connectTimeout", "commandTimeout", "reconnect.initial",
                "reconnect.maximum", "newQueueGracePeriod", "consumerCheckInterval",
            ],
            .flag: ["tls.usesCertificateIdentity", "tls.insecureSkipsVerification"],
        ]
        let secrets: Set = ["uri", "password", "tls.keyPassword"]
        let keys = kinds.flatMap { kind, names in
            names.map { ($0, ConfigurationKey(kind: kind, isSecret: secrets.contains($0))) }
        }
        return Dictionary(uniqueKeysWithValues: keys)
    }()

    /// Returns a Boolean value indicating whether keys begin with a name and a dot.
    static func isSection(_ name: String) -> Bool { all.keys.contains { $0.hasPrefix(name + ".") } }

    /// Returns the content of a value, or `nil` if it is of another kind.
    func content(_ value: JSONValue) -> ConfigContent? {
        switch (kind, value) {
        case (.text, .string(let text)): return .string(text)
        case (.integer, .integer(let number)): return .int(Int(number))
        case (.number, .integer(let number)): return .double(Double(number))
        case (.number, .number(let number)): return .double(number)
        case (.flag, .bool(let flag)): return .bool(flag)
        case (.texts, .array(let elements)):
            var texts: [String] = []
            for element in elements {
                guard case .string(let text) = element else { return nil }
                texts.append(text)
            }
            return .stringArray(texts)
        default: return nil
        }
    }
}

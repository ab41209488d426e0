extension Setting {
    /// Returns the keys under `rabbitmq` that `RabbitConfiguration(config:)` reads, for ``ServiceDefinition/settings``.
    ///
    /// ```swift
    /// settings: Setting.rabbitMQ(clientName: "inventory-service")
    /// // in the assembly:
    /// let rabbit = try environment.configuration(under: "rabbitmq") { try RabbitConfiguration(config: $0) }
    /// ```
    ///
    /// - Parameter clientName: The default of `rabbitmq.clientName`: the name of the connections in the broker's tools.
    public static func rabbitMQ(clientName: String) -> [Setting] {
        [
            Setting(
                "rabbitmq.uri",
                .string,
                default: "amqp://guest:guest@localhost:5672/%2F",
                isSecret: true,
                "the address of the broker, the login and the virtual host"
            ),
            .documented("rabbitmq.user", .string, "the URI's", "the user"),
            .documented("rabbitmq.password", .string, "the URI's", isSecret: true, "the password"),
            .documented("rabbitmq.virtualHost", .string, "the URI's", "the virtual host"),
            Setting("rabbitmq.clientName", .string, default: clientName, "the name of the connections on the broker"),
            .documented("rabbitmq.exchange", .string, "events", "the topic exchange for events"),
            .documented("rabbitmq.queueType", .string, "quorum", "the type of queues: quorum or classic"),
            .documented("rabbitmq.declaration", .string, "active", "active to declare queues, passive to check them"),
            .documented("rabbitmq.scheduling", .string, "own", "the delay queues: shared, own or isolated"),
            .documented("rabbitmq.allowedReplyQueues", .strings, "none", "queues of other systems that get replies"),
            .documented("rabbitmq.heartbeat", .double, "10", "seconds between heartbeats; 0 for none"),
            .documented("rabbitmq.livenessTimeout", .double, "600", "seconds without a connection until not live"),
            .documented("rabbitmq.connectTimeout", .double, "5", "seconds for a connection, and again for the login"),
            .documented("rabbitmq.commandTimeout", .double, "15", "seconds for an answer of the broker"),
            .documented("rabbitmq.reconnect.initial", .double, "0.1", "the maximum of the first delay, in seconds"),
            .documented("rabbitmq.reconnect.maximum", .double, "5", "the maximum of every delay, in seconds"),
            .documented("rabbitmq.maximumUnconfirmedEvents", .int, "1000", "the maximum of unconfirmed events"),
            .documented("rabbitmq.maximumUnconfirmedBytes", .int, "16777216", "their maximum size in bytes"),
            .documented("rabbitmq.maximumBodySize", .int, "16777216", "the maximum size of a payload in bytes"),
            .documented("rabbitmq.newQueueGracePeriod", .double, "2", "seconds until a new quorum queue is attached"),
            .documented("rabbitmq.consumerCheckInterval", .double, "1", "seconds between two checks of consumers"),
            .documented("rabbitmq.tls.caFile", .string, "the system's", "the trusted authorities, in PEM"),
            .documented("rabbitmq.tls.certificateFile", .string, "none", "the client certificate, in PEM"),
            .documented("rabbitmq.tls.keyFile", .string, "none", "the key of the client certificate, in PEM"),
            .documented("rabbitmq.tls.keyPassword", .string, "none", isSecret: true, "the password of the key"),
            .documented("rabbitmq.tls.usesCertificateIdentity", .bool, "false", "whether the certificate is the login"),
            .documented("rabbitmq.tls.insecureSkipsVerification", .bool, "false", "whether any broker is trusted"),
        ]
    }

    /// Returns a setting whose default is only documented, because it depends on the URI or is the library's.
    static func documented(
        _ key: String,
        _ kind: Kind,
        _ default: String,
        isSecret: Bool = false,
        _ meaning: String
    ) -> Setting {
        var setting = Setting(key, kind, default: `default`, isSecret: isSecret, meaning)
        setting.hasDocumentedDefault = true
        return setting
    }
}

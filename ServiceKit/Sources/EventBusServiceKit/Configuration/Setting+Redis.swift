extension Setting {
    /// Returns the keys under `redis` that `RedisConfiguration(config:)` reads, for ``ServiceDefinition/settings``.
    ///
    /// ```swift
    /// settings: Setting.redis(clientName: "inventory-service")
    /// // in the assembly:
    /// let redis = try environment.configuration(under: "redis") { try RedisConfiguration(config: $0) }
    /// ```
    ///
    /// - Parameter clientName: The default of `redis.clientName`: the name of the process in the server's client list.
    public static func redis(clientName: String) -> [Setting] {
        [
            Setting(
                "redis.uri",
                .string,
                default: "redis://127.0.0.1:6379/0",
                isSecret: true,
                "the address of the server, the login and the database"
            ),
            .documented("redis.user", .string, "the URI's", "the user"),
            .documented("redis.password", .string, "the URI's", isSecret: true, "the password"),
            .documented("redis.database", .int, "the URI's", "the number of the database"),
            Setting("redis.clientName", .string, default: clientName, "the name of the connection on the server"),
            .documented("redis.connectTimeout", .double, "5", "seconds for a connection and the login"),
            .documented("redis.commandTimeout", .double, "2", "seconds for a command"),
            .documented("redis.heartbeat", .double, "2", "seconds of silence after which the connection is tested"),
            .documented("redis.reconnect.initial", .double, "0.05", "the maximum of the first delay, in seconds"),
            .documented("redis.reconnect.maximum", .double, "2", "the maximum of every delay, in seconds"),
            .documented("redis.maximumInFlight", .int, "8192", "the maximum of commands in flight"),
            .documented("redis.maximumInFlightBytes", .int, "16777216", "their maximum size in bytes"),
            .documented("redis.maximumQueued", .int, "100000", "the maximum of commands that wait to be sent"),
            .documented("redis.maximumQueuedBytes", .int, "67108864", "their maximum size in bytes"),
            .documented("redis.maximumReplySize", .int, "67108864", "the maximum size of a reply in bytes"),
            .documented("redis.sentinel.user", .string, "none", "the user of the Sentinels"),
            .documented("redis.sentinel.password", .string, "none", isSecret: true, "the password of the Sentinels"),
            .documented("redis.tls.caFile", .string, "the system's", "the trusted authorities, in PEM"),
            .documented("redis.tls.certificateFile", .string, "none", "the client certificate, in PEM"),
            .documented("redis.tls.keyFile", .string, "none", "the key of the client certificate, in PEM"),
            .documented("redis.tls.keyPassword", .string, "none", isSecret: true, "the password of the key"),
            .documented("redis.tls.serverName", .string, "the host", "the name in the server's certificate"),
            .documented("redis.tls.insecureSkipsVerification", .bool, "false", "whether any server is trusted"),
        ]
    }
}

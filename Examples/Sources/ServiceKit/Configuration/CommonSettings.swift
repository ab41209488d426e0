extension ServiceDefinition {
    /// All keys of the configuration: the common ones, and those of the service.
    var allSettings: [Setting] { commonSettings + rabbitSettings + redisSettings + settings }

    private var commonSettings: [Setting] {
        [
            Setting("config.file", .string, default: nil, "a JSON file with further configuration; none unless set"),
            Setting("http.host", .string, default: "127.0.0.1", "the address to listen on"),
            Setting("http.port", .int, default: "\(defaultPort)", "the port to listen on; 0 for any that is free"),
            Setting(
                "http.tokens",
                .string,
                default: nil,
                isSecret: true,
                "the clients and their tokens, as NAME:TOKEN, separated by commas"
            ),
            Setting(
                "http.openAccess",
                .bool,
                default: "false",
                "whether everyone may do everything without a token"
            ),
            Setting(
                "http.allowedHosts",
                .string,
                default: nil,
                "names by which clients call the service, beside localhost and http.host, separated by commas; * for any"
            ),
            Setting(
                "http.maximumConnections",
                .int,
                default: "1000",
                "connections at once, at most half of the descriptors of the process"
            ),
            Setting(
                "http.maximumBodyBytes",
                .int,
                default: "33554432",
                "bytes of bodies that may be received at once"
            ),
            Setting(
                "database",
                .string,
                default: nil,
                isSecret: true,
                "a PostgreSQL database instead of SQLite: postgres://USER@HOST/NAME or another connection string of libpq"
            ),
            Setting(
                "database.path",
                .string,
                default: "\(name).sqlite",
                "the SQLite database, which is made if missing, unless database is set"
            ),
            Setting("log.level", .string, default: "info", "trace, debug, info, notice, warning, error or critical"),
            Setting("trace.file", .string, default: nil, "where to append spans, as JSON lines; off unless set"),
            Setting("shutdown.timeout", .double, default: "20", "seconds that an orderly shutdown may take"),
        ]
    }

    private var rabbitSettings: [Setting] {
        [
            Setting(
                "rabbitmq.uri",
                .string,
                default: "amqp://guest:guest@localhost:5672/%2F",
                isSecret: true,
                "where the broker is, and as whom"
            ),
            .told("rabbitmq.user", .string, "the URI's", "the user"),
            .told("rabbitmq.password", .string, "the URI's", isSecret: true, "the password"),
            .told("rabbitmq.virtualHost", .string, "the URI's", "the virtual host"),
            .told("rabbitmq.exchange", .string, "events", "the topic exchange that events go to"),
            .told("rabbitmq.queueType", .string, "quorum", "quorum or classic: the kind of the queues"),
            .told("rabbitmq.declaration", .string, "active", "active or passive: who declares exchange and queues"),
            Setting("rabbitmq.clientName", .string, default: executable, "what the broker calls the connections"),
            .told("rabbitmq.heartbeat", .double, "10", "seconds of silence after which both sides ask; 0 for none"),
            .told("rabbitmq.connectTimeout", .double, "5", "seconds for connecting, and again for logging in"),
            .told("rabbitmq.commandTimeout", .double, "15", "seconds for an answer of the broker"),
            .told("rabbitmq.maximumUnconfirmedEvents", .int, "1000", "events that may be unconfirmed"),
            .told("rabbitmq.maximumUnconfirmedBytes", .int, "16777216", "bytes that may be unconfirmed"),
            Setting("rabbitmq.maximumBodySize", .int, default: "1048576", "bytes of the largest event"),
            .told("rabbitmq.reconnect.initial", .double, "0.1", "seconds that bound the first wait to connect again"),
            .told("rabbitmq.reconnect.maximum", .double, "5", "seconds that bound every wait to connect again"),
            .told("rabbitmq.newQueueGracePeriod", .double, "2", "seconds until a new quorum queue counts as attached"),
            .told("rabbitmq.consumerCheckInterval", .double, "1", "seconds between two checks of the consumers"),
            .told("rabbitmq.tls.caFile", .string, "Debian's bundle", "the authorities that are trusted, in PEM"),
            .told("rabbitmq.tls.certificateFile", .string, "none", "our certificate, in PEM"),
            .told("rabbitmq.tls.keyFile", .string, "none", "our certificate's key, in PEM"),
            .told("rabbitmq.tls.keyPassword", .string, "none", isSecret: true, "what opens the key"),
            .told("rabbitmq.tls.usesCertificateIdentity", .bool, "false", "whether the certificate says who we are"),
            .told("rabbitmq.tls.insecureSkipsVerification", .bool, "false", "whether anyone may pose as the broker"),
        ]
    }

    private var redisSettings: [Setting] {
        [
            Setting(
                "redis.uri",
                .string,
                default: "redis://127.0.0.1:6379/0",
                isSecret: true,
                "where Redis is, and as whom"
            ),
            .told("redis.user", .string, "the URI's", "the user"),
            .told("redis.password", .string, "the URI's", isSecret: true, "the password"),
            Setting("redis.clientName", .string, default: executable, "what Redis calls the connection"),
            .told("redis.connectTimeout", .double, "5", "seconds for finding, connecting to and greeting the server"),
            .told("redis.commandTimeout", .double, "2", "seconds for a command"),
            .told("redis.heartbeat", .double, "2", "seconds of silence after which the connection is tested"),
            .told("redis.reconnect.initial", .double, "0.05", "seconds that bound the first wait to connect again"),
            .told("redis.reconnect.maximum", .double, "2", "seconds that bound every wait to connect again"),
            .told("redis.maximumInFlight", .int, "8192", "commands that may be in flight"),
            .told("redis.maximumInFlightBytes", .int, "16777216", "bytes of commands that may be in flight"),
            .told("redis.maximumQueued", .int, "100000", "commands that may wait to be sent"),
            .told("redis.maximumQueuedBytes", .int, "67108864", "bytes of commands that may wait to be sent"),
            .told("redis.maximumReplySize", .int, "67108864", "bytes of the largest reply"),
        ]
    }
}

extension Setting {
    /// Returns a setting whose default is only documented, because passing it to the reader would override the URI.
    fileprivate static func told(
        _ key: String,
        _ kind: Kind,
        _ default: String,
        isSecret: Bool = false,
        _ meaning: String
    ) -> Setting {
        var setting = Setting(key, kind, default: `default`, isSecret: isSecret, meaning)
        setting.isDefaultOnlyTold = true
        return setting
    }
}

public import EventBus

/// The address of a RabbitMQ broker and the settings of its connections.
///
/// Every value except the host and the credentials has a default that suits production. Descriptions, logs and errors
/// never contain the password.
///
/// ```swift
/// var configuration = try RabbitConfiguration(uri: "amqps://orders:secret@rabbit.internal/shop")
/// configuration.clientName = "orders"
/// configuration.heartbeat = .seconds(5)
/// ```
public struct RabbitConfiguration: Sendable {
    /// A broker's address.
    ///
    /// ```swift
    /// configuration.hosts = [.init("rabbit-1"), .init("rabbit-2"), .init("rabbit-3", port: 5673)]
    /// ```
    public struct Host: Hashable, Sendable {
        /// A host name or an IP address.
        public var name: String
        /// The TCP port. Defaults to 5672, or 5671 with TLS.
        public var port: Int

        /// Creates the address `name`:`port`.
        public init(_ name: String, port: Int = 5672) {
            self.name = name
            self.port = port
        }
    }

    /// A user name and a password.
    ///
    /// ```swift
    /// configuration.credentials = .init(user: "orders", password: secret)
    /// ```
    public struct Credentials: Sendable, CustomStringConvertible, CustomReflectable {
        /// The user's name.
        public var user: String
        /// The user's password, which is omitted from every description.
        public var password: String

        /// Creates credentials.
        public init(user: String, password: String) {
            self.user = user
            self.password = password
        }

        /// The user's name without the password.
        public var description: String { "\(user):***" }

        /// The user's name without the password.
        public var customMirror: Mirror { Mirror(self, children: ["user": user, "password": "***"]) }
    }

    /// The settings for encryption and for the verification of the broker.
    ///
    /// ```swift
    /// configuration.tls = RabbitConfiguration.TLS(caFile: "/etc/ssl/company.pem")
    /// ```
    ///
    /// TLS 1.2 is the minimum. The broker's certificate is verified, including that it is for the name of the ``Host``,
    /// which is also the requested name (SNI). Another name cannot be set: librabbitmq 0.11 requests and verifies the
    /// name that it connects to, and does not support IP addresses in certificates. If only the broker's address is
    /// known, map the name to it, for example with a line in `/etc/hosts`.
    public struct TLS: Sendable, CustomReflectable {
        /// A PEM file with the trusted authorities. Defaults to Debian's bundle.
        public var caFile: String
        /// A PEM file with the client certificate, if the broker requires one. Defaults to `nil`.
        public var certificateFile: String?
        /// A PEM file with the key of the client certificate. Defaults to `nil`.
        public var keyFile: String?
        /// The password of an encrypted `keyFile`. Defaults to `nil`.
        public var keyPassword: String?
        /// A Boolean value indicating whether the broker takes the identity from the client certificate (SASL EXTERNAL)
        /// instead of the credentials. Defaults to `false`.
        public var usesCertificateIdentity: Bool
        /// A Boolean value indicating whether the broker's certificate is not verified, so that anyone may pose as the
        /// broker. Use it for experiments only. Every such connection is logged. Defaults to `false`.
        public var insecureSkipsVerification: Bool

        /// Creates settings. Omitted values use the defaults.
        public init(
            caFile: String = "/etc/ssl/certs/ca-certificates.crt",
            certificateFile: String? = nil,
            keyFile: String? = nil,
            keyPassword: String? = nil,
            usesCertificateIdentity: Bool = false,
            insecureSkipsVerification: Bool = false
        ) {
            self.caFile = caFile
            self.certificateFile = certificateFile
            self.keyFile = keyFile
            self.keyPassword = keyPassword
            self.usesCertificateIdentity = usesCertificateIdentity
            self.insecureSkipsVerification = insecureSkipsVerification
        }

        /// A mirror of everything except the key's password.
        public var customMirror: Mirror {
            Mirror(
                self,
                children: [
                    "caFile": caFile, "certificateFile": certificateFile ?? "none", "keyFile": keyFile ?? "none",
                    "insecureSkipsVerification": insecureSkipsVerification,
                ]
            )
        }
    }

    /// The type of subscriptions' queues.
    public enum QueueType: String, CaseIterable, Hashable, Sendable {
        /// A replicated and durable queue. It counts redeliveries, so that an event that crashes its consumers is
        /// dead-lettered.
        case quorum
        /// A queue on a single node, without a redelivery count. An event that crashes its consumer is redelivered
        /// endlessly.
        case classic
    }

    /// The subscriptions that receive a scheduled event when its delay has passed.
    ///
    /// All services of a virtual host share the delay levels. In the first releases, a scheduled event reached the
    /// matching subscriptions of every events exchange in the virtual host. To migrate a virtual host, upgrade the
    /// subscribing services first and keep ``own``. Then upgrade the publishing services, and keep ``shared`` until all
    /// subscribers are upgraded. When no event scheduled by an old release is waiting any more, after at most 29 hours,
    /// change to ``isolated``.
    public enum Scheduling: String, CaseIterable, Hashable, Sendable {
        /// Publishes in the format of the first releases, for subscribers that are not upgraded yet.
        case shared
        /// Publishes for the subscriptions of the same exchange, and also receives events scheduled by the first
        /// releases.
        case own
        /// Publishes for the subscriptions of the same exchange, and receives nothing else.
        case isolated
    }

    /// The declaration of exchanges and queues.
    ///
    /// ```swift
    /// try await RabbitTransport.declareTopology(for: bus.queueSpecifications, on: configuration)  // by the deployment
    /// configuration.declaration = .passive                                                     // in the service
    /// ```
    public enum Declaration: String, CaseIterable, Hashable, Sendable {
        /// This service declares them when it needs them.
        case active
        /// They were declared with ``RabbitTransport/declareTopology(for:on:logger:)``. This service only checks that
        /// they exist, and needs no permission to configure.
        case passive
    }

    /// The addresses of the brokers, which are tried in random order.
    public var hosts: [Host]
    /// The virtual host. Defaults to `/`.
    public var virtualHost: String
    /// The user name and the password.
    public var credentials: Credentials
    /// A closure that returns the credentials for each login, instead of ``credentials``, for rotated passwords or
    /// OAuth 2 tokens, which are passed as the password. Defaults to `nil`.
    ///
    /// ```swift
    /// configuration.credentialsProvider = {
    ///     RabbitConfiguration.Credentials(user: "orders", password: try await vault.currentPassword())
    /// }
    /// ```
    ///
    /// It runs on the cooperative thread pool. An error counts as a failed connection attempt, and is retried.
    public var credentialsProvider: (@Sendable () async throws -> Credentials)?
    /// The time without a connection after which the health report says that the service is not live, so that it is
    /// restarted, or `nil` for never. Defaults to 10 minutes: an unreachable broker is no reason to restart a service,
    /// but a password that is no longer valid is.
    public var livenessTimeout: Duration?
    /// The TLS settings, or `nil` for no encryption. Defaults to `nil`.
    public var tls: TLS?
    /// The time of silence after which both sides send a heartbeat, in whole seconds. Twice that time ends a
    /// connection. Zero disables heartbeats, so that dead connections are not detected. Defaults to 10 s.
    public var heartbeat: Duration
    /// The name of the connections in the broker's tools. Defaults to `eventbus`.
    public var clientName: String
    /// The topic exchange to which events are published. Defaults to `events`.
    public var exchange: String
    /// The type of subscriptions' queues. Existing queues keep their type: changing it is a topology clash until they
    /// are deleted. Defaults to quorum queues.
    public var queueType: QueueType
    /// The queues to which replies may be sent, in addition to those of RabbitMQ's direct reply-to, which the requests
    /// of a bus use. Defaults to none.
    ///
    /// A request names its reply queue itself, so a publisher of requests could otherwise make a responder write into
    /// any queue. An entry is the name of a queue, or the beginning of names followed by `*`, such as `amq.gen-*` for
    /// clients whose queues are named by the broker. A request with another queue is handled, not answered, and logged.
    public var allowedReplyQueues: [String]
    /// The maximum number of unconfirmed events. Defaults to 1,000.
    public var maximumUnconfirmedEvents: Int
    /// The maximum size of unconfirmed events in bytes, which a single event may exceed. Defaults to 16 MiB.
    public var maximumUnconfirmedBytes: Int
    /// The maximum size of a published or received payload in bytes. Defaults to 16 MiB.
    public var maximumBodySize: Int
    /// The maximum time for connecting to one host, and again for logging in. Defaults to 5 s.
    public var connectTimeout: Duration
    /// The maximum time for the broker's reply to a method, after which the connection counts as lost. Defaults to
    /// 15 s.
    public var commandTimeout: Duration
    /// The delays before reconnecting. Defaults to up to 100 ms at first, and up to 5 s later.
    public var reconnect: ReconnectDelays
    /// The declaration of exchanges and queues. Defaults to ``Declaration/active``.
    public var declaration: Declaration
    /// A Boolean value indicating whether a transport that declares nothing (``Declaration/passive``) checks for the shared
    /// exchanges and delay levels when it connects, and ends with `.notFound` if one is missing. Defaults to `true`.
    ///
    /// Set it to `false` in an operator's program that needs only some of them, for example to read dead letters while
    /// others are missing. An operation that needs a missing one fails by itself.
    public var checksSharedObjects = true
    /// The subscriptions that receive scheduled events. Defaults to ``Scheduling/own``.
    public var scheduling: Scheduling
    /// The time after its declaration at which a new quorum queue counts as attached. A broker that is killed within
    /// the first second of a quorum queue's life loses events that it confirmed. Defaults to 2 s.
    public var newQueueGracePeriod: Duration
    /// The queues that differ from those that the bus would declare, by the names that the bus would give them,
    /// `GROUP.NAME`. Defaults to none. Broadcast subscriptions cannot have one.
    ///
    /// ```swift
    /// configuration.queues["billing.orders"] = .init(name: "legacy-orders", isDeclared: false)
    /// ```
    public var queues: [String: Queue]
    /// A closure that returns the route of an event that is not published to ``exchange`` with its topic as the routing
    /// key, or `nil` for any other event. Defaults to `nil`.
    ///
    /// The exchange must exist. The closure is called on the task that publishes.
    ///
    /// ```swift
    /// configuration.route = { event in
    ///     event.topic == "order.created" ? .init(exchange: "legacy", routingKey: "orders.new", priority: 5) : nil
    /// }
    /// ```
    public var route: (@Sendable (Envelope) -> Route?)?
    /// The maximum number of consumers that share a connection. A broker grants 2,047 channels to each connection, and
    /// a consumer that is being attached again briefly has two.
    var maximumConsumersPerConnection = 1000
    /// The maximum time for the confirm of a retry or a dead letter, after which the delivery is returned. It is well
    /// below the half hour after which a broker closes the channel.
    var republishTimeout = Duration.seconds(300)
    /// The maximum time for one attempt to send an event of a deleted queue to the new one.
    var orphanTimeout = Duration.seconds(30)
    /// The interval between checks of ``RabbitTransport``'s consumers. Defaults to 1 s.
    public var consumerCheckInterval: Duration
    /// The consumer timeout of the broker (`consumer_timeout`), or `nil` if it is disabled. Subscriptions whose handlers or
    /// retries may take longer are refused. Defaults to 30 minutes, which is RabbitMQ's default.
    public var consumerTimeout: Duration? = TransportLimits.consumerTimeout

    /// Creates the configuration for one host. All other values have their defaults and can be changed afterwards.
    public init(host: Host, credentials: Credentials, virtualHost: String = "/", tls: TLS? = nil) {
        self.hosts = [host]
        self.credentials = credentials
        self.virtualHost = virtualHost
        self.tls = tls
        self.livenessTimeout = .seconds(600)
        self.heartbeat = .seconds(10)
        self.clientName = "eventbus"
        self.exchange = "events"
        self.queueType = .quorum
        self.allowedReplyQueues = []
        self.maximumUnconfirmedEvents = 1000
        self.maximumUnconfirmedBytes = 16 << 20
        self.maximumBodySize = TransportLimits.maximumBodySize
        self.connectTimeout = .seconds(5)
        self.commandTimeout = .seconds(15)
        self.reconnect = ReconnectDelays()
        self.declaration = .active
        self.scheduling = .own
        self.newQueueGracePeriod = .seconds(2)
        self.queues = [:]
        self.consumerCheckInterval = .seconds(1)
    }
}

extension RabbitConfiguration: CustomStringConvertible {
    /// The address and the user, without the password.
    public var description: String {
        let hosts = hosts.map { "\($0.name):\($0.port)" }.joined(separator: ",")
        return "\(tls == nil ? "amqp" : "amqps")://\(credentials)@\(hosts)/\(virtualHost) exchange=\(exchange)"
    }
}

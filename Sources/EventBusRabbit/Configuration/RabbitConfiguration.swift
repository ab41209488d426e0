public import EventBus

/// How to reach a RabbitMQ, and how to use it.
///
/// Every value has a default that suits production, but for the host and the credentials. The password never appears in
/// a description, a log or an error.
public struct RabbitConfiguration: Sendable {
    /// A broker's address.
    public struct Host: Hashable, Sendable {
        /// A name or an IP address.
        public var name: String
        /// The TCP port; 5672, or 5671 with TLS, unless stated.
        public var port: Int

        /// The address `name`:`port`.
        public init(_ name: String, port: Int = 5672) {
            self.name = name
            self.port = port
        }
    }

    /// Who we are.
    public struct Credentials: Sendable, CustomStringConvertible, CustomReflectable {
        /// The user's name.
        public var user: String
        /// The user's password; left out of every description.
        public var password: String

        /// These credentials.
        public init(user: String, password: String) {
            self.user = user
            self.password = password
        }

        /// The user's name; the password is left out.
        public var description: String { "\(user):***" }

        /// The user's name; the password is left out.
        public var customMirror: Mirror { Mirror(self, children: ["user": user, "password": "***"]) }
    }

    /// How the connection is encrypted, and the broker recognized.
    ///
    /// TLS 1.2 is the least that is accepted. The broker's certificate is checked, and that it is for the name of the
    /// ``Host``, which is also the name that is asked for (SNI). There is no other name to be given: librabbitmq 0.11
    /// asks for and checks the name that it connects to, and does not recognize IP addresses in certificates. Where the
    /// broker is known by its address only, let that name lead to it, as by a line in `/etc/hosts`.
    public struct TLS: Sendable, CustomReflectable {
        /// The file, in PEM, with the authorities that are trusted; Debian's bundle unless stated.
        public var caFile: String
        /// The file, in PEM, with our certificate, where the broker asks for one.
        public var certificateFile: String?
        /// The file, in PEM, with our certificate's key.
        public var keyFile: String?
        /// What opens `keyFile`, if it is encrypted.
        public var keyPassword: String?
        /// Whether the broker takes our identity from the certificate (SASL EXTERNAL), not from the credentials.
        public var usesCertificateIdentity: Bool
        /// Whether anyone may pose as the broker. For experiments; every connection made so is logged as a warning.
        public var insecureSkipsVerification: Bool

        /// Encryption with the system's authorities unless stated.
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

        /// Everything but the key's password.
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

    /// The kind of queue that subscriptions get.
    public enum QueueType: String, CaseIterable, Hashable, Sendable {
        /// Replicated and durable; counts redeliveries, so that a delivery that kills its consumers is caught.
        case quorum
        /// On one node, without a count of redeliveries: an event that kills its consumer comes again without end.
        case classic
    }

    /// How long to wait before connecting again: the n-th wait is drawn from zero to `initial × 2^(n − 1)`, at most
    /// `maximum`.
    public struct Reconnect: Hashable, Sendable {
        /// The bound of the first wait.
        public var initial: Duration
        /// The bound that no wait exceeds.
        public var maximum: Duration

        /// Waits between these bounds.
        public init(initial: Duration = .milliseconds(100), maximum: Duration = .seconds(5)) {
            self.initial = initial
            self.maximum = maximum
        }
    }

    /// To which subscriptions a scheduled event comes when its delay has passed.
    ///
    /// All services of a virtual host share the delay levels. The first releases delivered a scheduled event to the
    /// matching subscriptions of every events exchange of the virtual host. To move a virtual host: upgrade the services
    /// that subscribe, leaving them at ``own``; then those that publish, which are left at ``shared`` until all
    /// subscribers are new; and once no event scheduled by an old release waits any more, 29 hours at most, turn to
    /// ``isolated``.
    public enum Scheduling: String, CaseIterable, Hashable, Sendable {
        /// Publishes as the first releases did, for subscribers that are not upgraded yet.
        case shared
        /// Publishes for the subscriptions of the same exchange; receives what the first releases scheduled, too.
        case own
        /// Publishes for the subscriptions of the same exchange, and receives nothing else.
        case isolated
    }

    /// Who declares exchanges and queues.
    public enum Declaration: String, CaseIterable, Hashable, Sendable {
        /// This service does, when it needs them.
        case active
        /// Someone else did, with ``RabbitTransport/declareTopology(for:_:logger:)``: this service only checks that they are
        /// there, and needs no right to configure.
        case passive
    }

    /// Where the brokers are. They are tried in a random order.
    public var hosts: [Host]
    /// The virtual host; `/` unless stated.
    public var virtualHost: String
    /// Who we are.
    public var credentials: Credentials
    /// Asked for the credentials at every login, in place of ``credentials``, where they change: rotated passwords, or
    /// tokens of OAuth 2, which are passed as the password. `nil` by default.
    ///
    /// It runs on the cooperative pool. What it throws counts as a failed attempt to connect, and is tried again.
    public var credentialsProvider: (@Sendable () async throws -> Credentials)?
    /// How long the service may be without a connection before its health says that it does not live, so that it is
    /// restarted. `nil` for never. Defaults to 10 minutes: a broker that is away is no reason to restart, a service whose
    /// password no longer counts is.
    public var livenessTimeout: Duration?
    /// How the connection is encrypted; `nil`, which is the default, for not at all.
    public var tls: TLS?
    /// After how long of silence both sides ask; twice that ends a connection. Whole seconds, 10 s unless stated; zero
    /// turns it off, which leaves dead connections unnoticed.
    public var heartbeat: Duration
    /// What the broker's tools call our connections; `eventbus` unless stated.
    public var connectionName: String
    /// The topic exchange that events are published to; `events` unless stated.
    public var exchange: String
    /// The kind of queue that subscriptions get; quorum unless stated. Queues that exist keep their kind: changing it
    /// is a clash until they are deleted.
    public var queueType: QueueType
    /// The queues to which replies may go, beside those of RabbitMQ's direct reply-to, which requests of a bus use.
    /// Empty by default.
    ///
    /// A request names its reply queue itself: whoever may publish a request could otherwise have a responder of this
    /// service write into any queue. An entry is a queue's name, or the beginning of names followed by `*`, such as
    /// `amq.gen-*` for clients that let the broker name their queues. A request for another queue is handled, not
    /// answered, and logged.
    public var allowedReplyQueues: [String]
    /// How many published events may be unconfirmed at a time; 1,000 unless stated.
    public var maximumUnconfirmedEvents: Int
    /// How many bytes of published events may be unconfirmed at a time; 16 MiB unless stated. One event may exceed it.
    public var maximumUnconfirmedBytes: Int
    /// The largest payload that is published or accepted, in bytes; 16 MiB unless stated.
    public var maximumBodySize: Int
    /// How long connecting to one host, and logging in, may each take; 5 s unless stated.
    public var connectTimeout: Duration
    /// How long the broker may take to answer a method before the connection counts as lost; 15 s unless stated.
    public var callTimeout: Duration
    /// How long to wait before connecting again.
    public var reconnect: Reconnect
    /// Who declares exchanges and queues; this service unless stated.
    public var declaration: Declaration
    /// To which subscriptions scheduled events come. Defaults to ``Scheduling/own``.
    public var scheduling: Scheduling
    /// How long after its declaration a new quorum queue counts as attached; 2 s unless stated. A broker that is killed
    /// within the first second of a quorum queue's life loses what it confirmed there.
    public var newQueueSettling: Duration
    /// The queues of subscriptions that differ from those that the bus declares by itself, by the names that the bus would
    /// give them: `GROUP.NAME`. Defaults to none. Broadcast subscriptions cannot have one.
    ///
    /// ```swift
    /// configuration.queues["billing.orders"] = .init(name: "legacy-orders", isDeclared: false)
    /// ```
    public var queues: [String: Queue]
    /// Returns the route of an event that does not go to ``exchange`` with its topic as the routing key, or `nil` for one
    /// that does. Defaults to `nil`.
    ///
    /// The exchange has to exist. It is called on the task that publishes.
    ///
    /// ```swift
    /// configuration.route = { event in
    ///     event.topic == "order.created" ? .init(exchange: "legacy", routingKey: "orders.new", priority: 5) : nil
    /// }
    /// ```
    public var route: (@Sendable (Envelope) -> Route?)?
    /// The number of consumers that share a connection. A broker grants 2,047 channels to each, and consumers that are
    /// attached again have two for a moment.
    var maximumConsumersPerConnection = 1000
    /// How long each step of ``RabbitTransport``'s watch over its consumers waits; 1 s unless stated.
    public var consumerCheckInterval: Duration

    /// The configuration for one host; everything else has its default and may be changed afterwards.
    public init(host: Host, credentials: Credentials, virtualHost: String = "/", tls: TLS? = nil) {
        self.hosts = [host]
        self.credentials = credentials
        self.virtualHost = virtualHost
        self.tls = tls
        self.livenessTimeout = .seconds(600)
        self.heartbeat = .seconds(10)
        self.connectionName = "eventbus"
        self.exchange = "events"
        self.queueType = .quorum
        self.allowedReplyQueues = []
        self.maximumUnconfirmedEvents = 1000
        self.maximumUnconfirmedBytes = 16 << 20
        self.maximumBodySize = TransportLimits.maximumBodySize
        self.connectTimeout = .seconds(5)
        self.callTimeout = .seconds(15)
        self.reconnect = Reconnect()
        self.declaration = .active
        self.scheduling = .own
        self.newQueueSettling = .seconds(2)
        self.queues = [:]
        self.consumerCheckInterval = .seconds(1)
    }
}

extension RabbitConfiguration: CustomStringConvertible {
    /// Where it leads and as whom; the password is left out.
    public var description: String {
        let hosts = hosts.map { "\($0.name):\($0.port)" }.joined(separator: ",")
        return "\(tls == nil ? "amqp" : "amqps")://\(credentials)@\(hosts)/\(virtualHost) exchange=\(exchange)"
    }
}

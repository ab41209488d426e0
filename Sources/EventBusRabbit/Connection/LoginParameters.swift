/// The parameters of a login.
struct LoginParameters: Sendable {
    /// The requested maximum size of a frame. The broker may grant less.
    static let frameMaximum = 131_072

    var host: String
    var port: Int
    var virtualHost: String
    var user: String
    var password: String
    var tls: RabbitConfiguration.TLS?
    /// The heartbeat in seconds.
    var heartbeat: Int
    /// The timeout of connecting, and again of logging in.
    var timeout: Duration
    var connectionName: String
    /// The number of bytes by which a received frame may exceed the negotiated maximum.
    var frameReserve = AMQPHandle.frameReserve

    init(
        _ configuration: RabbitConfiguration,
        _ host: RabbitConfiguration.Host,
        _ credentials: RabbitConfiguration.Credentials,
        role: String
    ) {
        self.host = host.name
        self.port = host.port
        self.virtualHost = configuration.virtualHost
        self.user = credentials.user
        self.password = credentials.password
        self.tls = configuration.tls
        self.heartbeat = Int(configuration.heartbeat.components.seconds)
        self.timeout = configuration.connectTimeout
        self.connectionName = "\(configuration.clientName).\(role)"
    }
}

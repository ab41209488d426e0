/// How a bus behaves, where a single publish or subscription does not say otherwise.
public struct EventBusConfiguration: Sendable {
    /// The name of this service, which its events carry as their source; `nil` for none.
    public var source: String?
    /// How long a publish may take before it throws; 10 s unless stated.
    public var publishTimeout: Duration
    /// How long a shutdown waits for running handlers, unconfirmed publishes and async local listeners. Defaults to 30 s.
    public var shutdownTimeout: Duration
    /// How long a cancelled handler may take to notice before the shutdown goes on without it. Defaults to 1 s.
    public var cancellationGrace: Duration
    /// What encodes events, and decodes those with its content type; JSON unless stated.
    public var codec: any EventCodec
    /// Further codecs, for events of other content types.
    public var additionalCodecs: [any EventCodec]
    /// What every publish passes through, outermost first; tracing and metrics unless stated.
    public var publishMiddleware: [any PublishMiddleware]
    /// What every delivery passes through before its handler, outermost first; tracing, metrics and logging unless
    /// stated.
    public var consumeMiddleware: [any ConsumeMiddleware]

    /// A configuration with every value at its default.
    public init() {
        source = nil
        publishTimeout = .seconds(10)
        shutdownTimeout = .seconds(30)
        cancellationGrace = .seconds(1)
        codec = JSONEventCodec()
        additionalCodecs = []
        publishMiddleware = [TracingMiddleware(), MetricsMiddleware()]
        consumeMiddleware = [TracingMiddleware(), MetricsMiddleware(), LoggingMiddleware()]
    }
}

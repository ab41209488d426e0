/// The settings of a bus, which apply unless a publish or a subscription overrides them.
///
/// ```swift
/// var configuration = EventBusConfiguration()
/// configuration.source = "orders"
/// configuration.publishTimeout = .seconds(5)
/// let bus = EventBus(transport: .inMemory(), configuration: configuration)
/// ```
public struct EventBusConfiguration: Sendable {
    /// The name of this service, such as `orders`, which its events carry as their source, or `nil` for none. Defaults to
    /// `nil`.
    public var source: String?
    /// The maximum duration of a publish, after which it throws. Defaults to 10 s.
    public var publishTimeout: Duration
    /// The time for which a shutdown waits for running handlers, unconfirmed publishes and asynchronous local
    /// listeners. Defaults to 30 s.
    public var shutdownTimeout: Duration
    /// The time that a cancelled handler has to end before the shutdown proceeds without it. Defaults to 1 s.
    public var cancellationGrace: Duration
    /// The codec that encodes events, and decodes events with its content type. Defaults to JSON.
    public var codec: any EventCodec
    /// Additional codecs that decode events of other content types. Defaults to none.
    public var additionalCodecs: [any EventCodec]
    /// The steps that encode the payload after the codec, in this order, such as compression and then encryption. The
    /// receiver undoes them in reverse. Defaults to none. See <doc:PayloadSteps>.
    public var payloadSteps: [any PayloadStep]
    /// Additional steps that only decode, so that a service can read an encoding before any service writes it. Defaults
    /// to none.
    public var additionalPayloadSteps: [any PayloadStep]
    /// The rule that sends large payloads through a store, and only their names through the broker, or `nil` for none.
    /// Defaults to `nil`.
    public var claimCheck: ClaimCheck?
    /// The middleware that every publish passes through, outermost first. Defaults to tracing and metrics.
    public var publishMiddleware: [any PublishMiddleware]
    /// The middleware that every delivery passes through before its handler, outermost first. Defaults to tracing and
    /// metrics.
    public var consumeMiddleware: [any ConsumeMiddleware]
    /// The observers of the outcomes of deliveries, in addition to middleware that also observes. Defaults to logging.
    public var deliveryObservers: [any DeliveryObserver]

    /// Creates a configuration with all defaults.
    public init() {
        source = nil
        publishTimeout = .seconds(10)
        shutdownTimeout = .seconds(30)
        cancellationGrace = .seconds(1)
        codec = JSONEventCodec()
        additionalCodecs = []
        payloadSteps = []
        additionalPayloadSteps = []
        claimCheck = nil
        publishMiddleware = [TracingMiddleware(), MetricsMiddleware()]
        consumeMiddleware = [TracingMiddleware(), MetricsMiddleware()]
        deliveryObservers = [LoggingObserver()]
    }

    /// Checks that every duration leaves time for what it limits.
    ///
    /// - Throws: ``EventBusError`` with code `.invalidConfiguration`, which names the value.
    func validate() throws(EventBusError) {
        let limits = [
            ("publishTimeout", publishTimeout), ("claimCheck.timeout", claimCheck?.timeout ?? publishTimeout),
        ]
        for (name, limit) in limits where limit <= .zero {
            throw EventBusError(
                .invalidConfiguration,
                "the bus's \(name) is \(limit), which leaves no time; give one above zero"
            )
        }
    }
}

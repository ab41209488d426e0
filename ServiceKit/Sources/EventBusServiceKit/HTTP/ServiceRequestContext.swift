public import EventBus
public import Hummingbird

/// The context of a request: its correlation id, and a logger whose messages include it.
///
/// ```swift
/// router.post("orders") { request, context in
///     try await bus.publish(OrderCreated(), options: PublishOptions(correlationID: context.correlationID))
///     return HTTPResponse.Status.accepted
/// }
/// ```
public struct ServiceRequestContext: RequestContext {
    /// The context that Hummingbird requires.
    public var coreContext: CoreRequestContextStorage
    /// The correlation id of everything that this request causes: the header `X-Correlation-ID`, or a new one. It is
    /// returned in the response.
    public var correlationID: CorrelationID
    /// The name of the client that sent the request, or an empty name if clients have no tokens.
    public var client = ""
    /// The budget for the bodies of requests.
    public var bodies = BodyBudget.standard

    /// Creates the context of a new request.
    public init(source: ApplicationRequestContextSource) {
        self.coreContext = CoreRequestContextStorage(source: source)
        self.correlationID = CorrelationID(EventID())
    }
}

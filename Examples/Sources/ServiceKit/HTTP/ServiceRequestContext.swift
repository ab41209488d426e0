public import EventBus
public import Hummingbird

/// What goes with a request: its correlation id, and a logger whose lines carry it.
public struct ServiceRequestContext: RequestContext {
    /// What Hummingbird needs.
    public var coreContext: CoreRequestContextStorage
    /// What ties together everything that this request sets off: the header `X-Correlation-ID`, or else a new one. It is
    /// returned in the response.
    public var correlationID: CorrelationID

    /// The context of a request that has just come in.
    public init(source: ApplicationRequestContextSource) {
        self.coreContext = CoreRequestContextStorage(source: source)
        self.correlationID = CorrelationID(EventID())
    }
}

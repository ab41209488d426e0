import Synchronization
public import Tracing

/// A span of ``ServiceTracer``.
public final class ServiceSpan: Span {
    /// The context for work on behalf of this span.
    public let context: ServiceContext
    /// A Boolean value indicating whether the span will be exported.
    public var isRecording: Bool { identity.isSampled && !state.withLock { $0.isEnded } }

    let identity: SpanIdentity
    private let parentID: UInt64?
    private let kind: SpanKind
    private let start: UInt64
    private let onEnd: @Sendable (FinishedSpan) -> Void
    private let state: Mutex<State>

    private struct State {
        var name: String
        var status: SpanStatus?
        var error: String?
        var attributes: SpanAttributes = [:]
        var events: [SpanEvent] = []
        var links: [SpanLink] = []
        var isEnded = false
    }

    init(
        _ name: String,
        context: ServiceContext,
        kind: SpanKind,
        start: UInt64,
        onEnd: @escaping @Sendable (FinishedSpan) -> Void
    ) {
        let parent = context.spanIdentity
        let identity = parent?.child() ?? .root()
        var context = context
        context.spanIdentity = identity
        self.context = context
        self.identity = identity
        self.parentID = parent?.span
        self.kind = kind
        self.start = start
        self.onEnd = onEnd
        self.state = Mutex(State(name: name))
    }

    /// The name of the operation.
    public var operationName: String {
        get { state.withLock { $0.name } }
        set { update { $0.name = newValue } }
    }

    /// The attributes of the span.
    public var attributes: SpanAttributes {
        get { state.withLock { $0.attributes } }
        set { update { $0.attributes = newValue } }
    }

    /// Sets the status.
    public func setStatus(_ status: SpanStatus) {
        update { $0.status = status }
    }

    /// Adds an event.
    public func addEvent(_ event: SpanEvent) {
        update { $0.events.append(event) }
    }

    /// Adds an error. Whether the span failed is set with ``setStatus(_:)``.
    public func recordError<Instant: TracerInstant>(
        _ error: any Error,
        attributes: SpanAttributes,
        at instant: @autoclosure () -> Instant
    ) {
        guard identity.isSampled else { return }
        let text = "\(error)"
        var attributes = attributes
        attributes["exception.type"] = "\(type(of: error))"
        attributes["exception.message"] = text
        let event = SpanEvent(name: "exception", at: instant(), attributes: attributes)
        update {
            $0.error = text
            $0.events.append(event)
        }
    }

    /// Adds a link to a related span.
    public func addLink(_ link: SpanLink) {
        update { $0.links.append(link) }
    }

    /// Ends the span and exports it. Later changes have no effect.
    public func end<Instant: TracerInstant>(at instant: @autoclosure () -> Instant) {
        let last = state.withLock { state -> State? in
            if state.isEnded { return nil }
            state.isEnded = true
            return state
        }
        guard let last, identity.isSampled else { return }
        onEnd(
            FinishedSpan(
                service: "",
                name: last.name,
                kind: kind,
                traceID: identity.traceID,
                spanID: identity.spanID,
                parentID: parentID?.hexadecimal,
                traceState: identity.traceState,
                start: start,
                // Even if the wall clock was set back, a span does not end before it began.
                end: max(start, instant().nanosecondsSinceEpoch),
                status: last.status,
                error: last.error,
                attributes: last.attributes,
                events: last.events,
                links: last.links.compactMap { link in
                    link.context.spanIdentity.map {
                        FinishedSpan.Link(traceID: $0.traceID, spanID: $0.spanID, attributes: link.attributes)
                    }
                }
            )
        )
    }

    private func update(_ change: (inout State) -> Void) {
        guard identity.isSampled else { return }
        state.withLock { state in
            if !state.isEnded { change(&state) }
        }
    }
}

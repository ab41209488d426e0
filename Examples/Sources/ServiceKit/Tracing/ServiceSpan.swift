import Synchronization
public import Tracing

/// A span of ``ServiceTracer``.
public final class ServiceSpan: Span {
    /// What work done for this span runs under.
    public let context: ServiceContext
    /// Whether anyone will see it.
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

    /// What is done.
    public var operationName: String {
        get { state.withLock { $0.name } }
        set { update { $0.name = newValue } }
    }

    /// What is known of it.
    public var attributes: SpanAttributes {
        get { state.withLock { $0.attributes } }
        set { update { $0.attributes = newValue } }
    }

    /// Says whether it failed.
    public func setStatus(_ status: SpanStatus) {
        update { $0.status = status }
    }

    /// Notes something that happened.
    public func addEvent(_ event: SpanEvent) {
        update { $0.events.append(event) }
    }

    /// Notes an error. Whether the span failed by it is for ``setStatus(_:)`` to say.
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

    /// Notes a span that this one has to do with.
    public func addLink(_ link: SpanLink) {
        update { $0.links.append(link) }
    }

    /// Ends it, and hands it on; what is done to it afterwards has no effect.
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
                // A wall clock that was set back does not make a span end before it began.
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

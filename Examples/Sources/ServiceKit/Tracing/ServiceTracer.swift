public import Tracing

/// Makes spans, and carries traces between processes in the headers of W3C's Trace Context.
///
/// Every trace that begins here is recorded; one that came from elsewhere is recorded if its first span was. Requests,
/// events and what the service does for them are then one trace, whichever process did it.
public struct ServiceTracer: Tracer {
    private let service: String
    private let exporter: any SpanExporter

    /// A tracer whose spans go to `exporter`, named as of `service`.
    public init(service: String, exporter: some SpanExporter) {
        self.service = service
        self.exporter = exporter
    }

    /// Begins a span: within the one that `context` names, or the first of a new trace.
    public func startSpan<Instant: TracerInstant>(
        _ operationName: String,
        context: @autoclosure () -> ServiceContext,
        ofKind kind: SpanKind,
        at instant: @autoclosure () -> Instant,
        function: String,
        file fileID: String,
        line: UInt
    ) -> ServiceSpan {
        ServiceSpan(
            operationName,
            context: context(),
            kind: kind,
            start: instant().nanosecondsSinceEpoch
        ) { [service, exporter] span in
            var span = span
            span.service = service
            exporter.export(span)
        }
    }

    /// Nothing: what was exported is written at least once a second, and when the service ends.
    public func forceFlush() {}

    /// Takes over the trace that another process began; headers that are not valid are ignored.
    public func extract<Carrier, Extract: Extractor>(
        _ carrier: Carrier,
        into context: inout ServiceContext,
        using extractor: Extract
    ) where Extract.Carrier == Carrier {
        guard let parent = extractor.extract(key: TraceParent.header, from: carrier),
            let identity = TraceParent.parse(
                parent,
                state: extractor.extract(key: TraceParent.stateHeader, from: carrier)
            )
        else { return }
        context.spanIdentity = identity
    }

    /// Gives the trace on to another process.
    public func inject<Carrier, Inject: Injector>(
        _ context: ServiceContext,
        into carrier: inout Carrier,
        using injector: Inject
    ) where Inject.Carrier == Carrier {
        guard let identity = context.spanIdentity else { return }
        injector.inject(TraceParent.format(identity), forKey: TraceParent.header, into: &carrier)
        if !identity.traceState.isEmpty {
            injector.inject(identity.traceState, forKey: TraceParent.stateHeader, into: &carrier)
        }
    }
}

public import Tracing

/// A tracer that creates spans and carries traces between processes in W3C Trace Context headers.
///
/// Every trace that begins here is recorded. A trace from elsewhere is recorded if its first span was. Requests, events
/// and the work of the service for them therefore form one trace across processes.
///
/// ```swift
/// InstrumentationSystem.bootstrap(ServiceTracer(service: "inventory", exporter: exporter))
/// ```
///
/// A ``ServiceDefinition`` does this if it has an exporter.
public struct ServiceTracer: Tracer {
    private let service: String
    private let exporter: any SpanExporter

    /// Creates a tracer that exports the spans of `service` to `exporter`.
    public init(service: String, exporter: some SpanExporter) {
        self.service = service
        self.exporter = exporter
    }

    /// Starts a span as a child of the span in `context`, or as the first one of a new trace.
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

    /// Does nothing, because exported spans are written at least once per second and when the service ends.
    public func forceFlush() {}

    /// Continues the trace of another process. Invalid headers are ignored.
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

    /// Passes the trace on to another process.
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

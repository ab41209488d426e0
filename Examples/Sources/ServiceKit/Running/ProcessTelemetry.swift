import CoreMetrics
import Synchronization
import Tracing

/// The metrics and the tracer of the process: each library finds them by itself, so there is one of each.
final class ProcessTelemetry: Sendable {
    static let shared = ProcessTelemetry()

    let registry = MetricsRegistry()
    private let hasMetrics = Mutex(false)
    private let sink = SpanSink()
    private let hasTracing = Mutex(false)

    private init() {}

    /// Has every library of the process count into ``registry``.
    func bootstrapMetrics(service: String) {
        registry.setService(service)
        hasMetrics.withLock { hasMetrics in
            guard !hasMetrics else { return }
            hasMetrics = true
            MetricsSystem.bootstrap(registry)
        }
    }

    /// Has every library of the process trace, and the spans go to `exporter`, instead of where they went before.
    func bootstrapTracing(service: String, exporter: any SpanExporter) {
        sink.set(exporter)
        hasTracing.withLock { hasTracing in
            guard !hasTracing else { return }
            hasTracing = true
            InstrumentationSystem.bootstrap(ServiceTracer(service: service, exporter: sink))
        }
    }
}

/// Passes spans on to the exporter of the present run.
private final class SpanSink: SpanExporter {
    private let exporter = Mutex<(any SpanExporter)?>(nil)

    func set(_ exporter: any SpanExporter) {
        self.exporter.withLock { $0 = exporter }
    }

    func export(_ span: FinishedSpan) {
        exporter.withLock { $0 }?.export(span)
    }
}

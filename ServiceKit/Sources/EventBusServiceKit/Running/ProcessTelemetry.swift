import CoreMetrics
import Synchronization
import Tracing

/// The metrics and the tracer of the process. There is one of each, because every library finds them globally.
final class ProcessTelemetry: Sendable {
    static let shared = ProcessTelemetry()

    let registry = MetricsRegistry()
    private let hasMetrics = Mutex(false)
    private let sink = SpanSink()
    private let hasTracing = Mutex(false)

    private init() {}

    /// Makes all libraries of the process report metrics to ``registry``.
    func bootstrapMetrics(service: String) {
        registry.setService(service)
        hasMetrics.withLock { hasMetrics in
            guard !hasMetrics else { return }
            hasMetrics = true
            MetricsSystem.bootstrap(registry)
        }
    }

    /// Makes all libraries of the process trace to `exporter`, which replaces the previous one.
    func bootstrapTracing(service: String, exporter: any SpanExporter) {
        sink.set(exporter)
        hasTracing.withLock { hasTracing in
            guard !hasTracing else { return }
            hasTracing = true
            InstrumentationSystem.bootstrap(ServiceTracer(service: service, exporter: sink))
        }
    }
}

/// An exporter that forwards spans to that of the current run.
private final class SpanSink: SpanExporter {
    private let exporter = Mutex<(any SpanExporter)?>(nil)

    func set(_ exporter: any SpanExporter) {
        self.exporter.withLock { $0 = exporter }
    }

    func export(_ span: FinishedSpan) {
        exporter.withLock { $0 }?.export(span)
    }
}

import EventBusServiceKit
import Synchronization
import Tracing

/// An exporter that records spans.
final class RecordingExporter: SpanExporter {
    private let recorded = Mutex<[FinishedSpan]>([])

    var spans: [FinishedSpan] { recorded.withLock { $0 } }

    func export(_ span: FinishedSpan) {
        recorded.withLock { $0.append(span) }
    }
}

extension FinishedSpan {
    /// Returns the attribute with this name.
    func attribute(_ name: String) -> SpanAttribute? { attributes.get(name) }
}

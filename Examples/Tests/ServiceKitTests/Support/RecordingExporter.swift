import ServiceKit
import Synchronization
import Tracing

/// Keeps the spans it is given.
final class RecordingExporter: SpanExporter {
    private let recorded = Mutex<[FinishedSpan]>([])

    var spans: [FinishedSpan] { recorded.withLock { $0 } }

    func export(_ span: FinishedSpan) {
        recorded.withLock { $0.append(span) }
    }
}

extension FinishedSpan {
    /// What is known of it under this name.
    func attribute(_ name: String) -> SpanAttribute? { attributes.get(name) }
}

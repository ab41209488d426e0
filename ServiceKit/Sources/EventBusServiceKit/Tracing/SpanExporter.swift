/// A destination for finished spans.
///
/// To use a tracing backend, conform to this protocol and pass the exporter to ``ServiceDefinition``. It receives every
/// sampled span of the service, on the task that ended the span.
///
/// ```swift
/// final class CollectorExporter: SpanExporter {
///     private let (spans, queue) = AsyncStream.makeStream(
///         of: FinishedSpan.self,
///         bufferingPolicy: .bufferingNewest(10_000)
///     )
///
///     func export(_ span: FinishedSpan) { queue.yield(span) }
///
///     func run() async {
///         for await span in spans { await send(span) }
///     }
/// }
/// ```
public protocol SpanExporter: Sendable {
    /// Exports a finished span. It is called on the task that ended the span, so it must not wait.
    func export(_ span: FinishedSpan)

    /// Runs the exporter's background work, such as sending batches, until the task is cancelled.
    func run() async

    /// Sends all exported spans. It is called once more when the service has ended.
    func flush() async
}

extension SpanExporter {
    /// Does nothing, because an exporter that sends spans immediately needs no background work.
    public func run() async {}

    /// Does nothing, because an exporter that sends spans immediately keeps none.
    public func flush() async {}
}

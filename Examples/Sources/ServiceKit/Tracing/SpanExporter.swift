/// Where finished spans go.
///
/// To use a tracing backend, conform to this and give the exporter to ``ServiceDefinition``. It gets every span of the
/// service that is sampled, from the task that ended it.
public protocol SpanExporter: Sendable {
    /// Takes a span that has ended. It is called on the task that ended the span, so it must not wait for anything.
    func export(_ span: FinishedSpan)

    /// Does the exporter's work beside the service, such as sending batches, until the task is cancelled.
    func run() async

    /// Passes on everything that was exported so far. It is called once more when the service has ended.
    func flush() async
}

extension SpanExporter {
    /// Nothing: an exporter that passes spans on at once has nothing to do.
    public func run() async {}

    /// Nothing: an exporter that passes spans on at once holds none.
    public func flush() async {}
}

public import Tracing

/// A span that has ended, as passed to an exporter.
public struct FinishedSpan: Sendable {
    /// A related span that is not the parent of this one.
    public struct Link: Sendable {
        /// The trace of the other span, as 32 hexadecimal digits.
        public var traceID: String
        /// The id of the other span, as 16 hexadecimal digits.
        public var spanID: String
        /// The attributes of the relation.
        public var attributes: SpanAttributes
    }

    /// The service that did the work.
    public var service: String
    /// The name, such as `process order.created`.
    public var name: String
    /// The side of a relation that the span represents.
    public var kind: SpanKind
    /// The trace, as 32 hexadecimal digits.
    public var traceID: String
    /// The id of the span, as 16 hexadecimal digits.
    public var spanID: String
    /// The id of the parent span, or `nil` for the first span of its trace.
    public var parentID: String?
    /// The data of other vendors in W3C's `tracestate` format. It is empty if there is none.
    public var traceState: String
    /// The start in nanoseconds since 1970.
    public var start: UInt64
    /// The end in nanoseconds since 1970.
    public var end: UInt64
    /// The status, or `nil` if it was not set.
    public var status: SpanStatus?
    /// The last recorded error as text.
    public var error: String?
    /// The attributes.
    public var attributes: SpanAttributes
    /// The events within the span.
    public var events: [SpanEvent]
    /// The related spans.
    public var links: [Link]
}

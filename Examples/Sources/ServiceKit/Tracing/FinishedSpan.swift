public import Tracing

/// A span that has ended, as an exporter gets it.
public struct FinishedSpan: Sendable {
    /// A span that this one has to do with, without being its child.
    public struct Link: Sendable {
        /// The trace of the other span: 32 hexadecimal digits.
        public var traceID: String
        /// The other span: 16 hexadecimal digits.
        public var spanID: String
        /// What is known of the relation.
        public var attributes: SpanAttributes
    }

    /// The service that did the work.
    public var service: String
    /// What was done, such as `process order.created`.
    public var name: String
    /// Which side of a relation it is.
    public var kind: SpanKind
    /// The trace it belongs to: 32 hexadecimal digits.
    public var traceID: String
    /// The span itself: 16 hexadecimal digits.
    public var spanID: String
    /// The span that it is a part of; `nil` for the first of its trace.
    public var parentID: String?
    /// What the trace carries for other vendors, as W3C's `tracestate` has it; empty if nothing.
    public var traceState: String
    /// When it began, in nanoseconds since 1970.
    public var start: UInt64
    /// When it ended, in nanoseconds since 1970.
    public var end: UInt64
    /// Whether it failed; `nil` if nobody said.
    public var status: SpanStatus?
    /// The last error that was recorded, as text.
    public var error: String?
    /// What is known of it.
    public var attributes: SpanAttributes
    /// What happened within it.
    public var events: [SpanEvent]
    /// The spans it has to do with.
    public var links: [Link]
}

import Tracing

/// The identity of a span and its trace, as passed between processes.
struct SpanIdentity: Hashable, Sendable {
    var traceHigh: UInt64
    var traceLow: UInt64
    var span: UInt64
    /// A Boolean value indicating whether the trace is recorded. The first span of a trace decides for all of them.
    var isSampled: Bool
    /// The data of other vendors.
    var traceState = ""

    /// Returns the identity of the first span of a new trace.
    static func root() -> SpanIdentity {
        SpanIdentity(traceHigh: .randomID, traceLow: .randomID, span: .randomID, isSampled: true)
    }

    /// Returns the identity of a child span.
    func child() -> SpanIdentity {
        var child = self
        child.span = .randomID
        return child
    }

    var traceID: String { traceHigh.hexadecimal + traceLow.hexadecimal }
    var spanID: String { span.hexadecimal }
}

extension ServiceContext {
    /// The span of the current task.
    var spanIdentity: SpanIdentity? {
        get { self[SpanIdentityKey.self] }
        set { self[SpanIdentityKey.self] = newValue }
    }

    private enum SpanIdentityKey: ServiceContextKey {
        typealias Value = SpanIdentity
    }
}

extension UInt64 {
    /// A random identifier. Zero means none.
    fileprivate static var randomID: UInt64 { .random(in: 1 ... .max) }

    /// The number as 16 hexadecimal digits.
    var hexadecimal: String {
        let digits = String(self, radix: 16)
        return String(repeating: "0", count: 16 - digits.count) + digits
    }
}

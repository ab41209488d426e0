import Tracing

/// Which span of which trace, as it travels between processes.
struct SpanIdentity: Hashable, Sendable {
    var traceHigh: UInt64
    var traceLow: UInt64
    var span: UInt64
    /// Whether the trace is recorded: what the first span of a trace decided holds for all of it.
    var isSampled: Bool
    /// What the trace carries for other vendors.
    var traceState = ""

    /// The first span of a trace.
    static func root() -> SpanIdentity {
        SpanIdentity(traceHigh: .randomID, traceLow: .randomID, span: .randomID, isSampled: true)
    }

    /// A span within this one.
    func child() -> SpanIdentity {
        var child = self
        child.span = .randomID
        return child
    }

    var traceID: String { traceHigh.hexadecimal + traceLow.hexadecimal }
    var spanID: String { span.hexadecimal }
}

extension ServiceContext {
    /// The span that the running task works for.
    var spanIdentity: SpanIdentity? {
        get { self[SpanIdentityKey.self] }
        set { self[SpanIdentityKey.self] = newValue }
    }

    private enum SpanIdentityKey: ServiceContextKey {
        typealias Value = SpanIdentity
    }
}

extension UInt64 {
    /// An identifier; zero is none.
    fileprivate static var randomID: UInt64 { .random(in: 1 ... .max) }

    /// The number as 16 hexadecimal digits.
    var hexadecimal: String {
        let digits = String(self, radix: 16)
        return String(repeating: "0", count: 16 - digits.count) + digits
    }
}

/// The common requirements of middleware and of observers. One type may be several of them.
public protocol EventMiddleware: Sendable {
    /// A Boolean value indicating whether the step does anything in this process. An inactive step is left out.
    var isActive: Bool { get }
}

extension EventMiddleware {
    /// The default value, `true`.
    public var isActive: Bool { true }
}

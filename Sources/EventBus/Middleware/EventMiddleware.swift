/// The common requirements of middleware for publishing and for consuming. One type may be both.
public protocol EventMiddleware: Sendable {
    /// A Boolean value indicating whether the step does anything in this process. An inactive step is left out of the
    /// chain.
    var isActive: Bool { get }
}

extension EventMiddleware {
    /// The default value, `true`.
    public var isActive: Bool { true }
}

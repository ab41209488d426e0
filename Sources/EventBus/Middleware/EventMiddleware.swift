/// What middleware for publishing and for consuming have in common; one type may be both.
public protocol EventMiddleware: Sendable {
    /// Whether the step does anything in this process; one that does not is left out of the chain.
    var isActive: Bool { get }
}

extension EventMiddleware {
    /// Active.
    public var isActive: Bool { true }
}

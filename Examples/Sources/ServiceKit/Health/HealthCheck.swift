public import EventBus

/// Something that a service's readiness depends on, or is worth showing beside it.
public struct HealthCheck: Sendable {
    /// Whether the service is not ready while a component of this check is not.
    public var isRequired: Bool
    /// Looks at the components.
    public var check: @Sendable () async -> [ComponentHealth]

    /// A check.
    ///
    /// - Parameters:
    ///   - isRequired: Whether the service is not ready while one of these components is not. Otherwise they are listed
    ///     and decide nothing.
    ///   - check: Looks at the components. After two seconds it is cancelled, and counts as not ready.
    public init(isRequired: Bool, _ check: @escaping @Sendable () async -> [ComponentHealth]) {
        self.isRequired = isRequired
        self.check = check
    }
}

public import EventBus

/// A check of a dependency of the service, which affects its readiness or is only reported.
///
/// ```swift
/// HealthCheck(isRequired: false) { [await redis.health()] }
/// ```
public struct HealthCheck: Sendable {
    /// A Boolean value indicating whether the service is not ready while a component of this check is not ready.
    public var isRequired: Bool
    /// A closure that returns the health of the components.
    public var check: @Sendable () async -> [ComponentHealth]

    /// Creates a check.
    ///
    /// - Parameters:
    ///   - isRequired: `true` if the service is not ready while one of these components is not. Otherwise they are only
    ///     reported.
    ///   - check: A closure that returns the health of the components. After two seconds it is cancelled and counts as
    ///     not ready.
    public init(isRequired: Bool, _ check: @escaping @Sendable () async -> [ComponentHealth]) {
        self.isRequired = isRequired
        self.check = check
    }
}

/// The state of a bus and of everything it depends on.
///
/// ``isLive`` and ``isReady`` answer the two questions of an orchestrator: whether to restart the process, and whether
/// to send it work.
///
/// ```swift
/// let report = bus.health()
/// if !report.isReady { logger.warning("not ready: \(report.reason)") }
/// ```
public struct HealthReport: Hashable, Sendable {
    /// The state of each component.
    public var components: [ComponentHealth]

    /// Creates a report on these components.
    public init(components: [ComponentHealth]) {
        self.components = components
    }

    /// A Boolean value indicating whether the process should keep running because a restart would not help.
    ///
    /// `false` if a component has failed permanently and a new process may work (``ComponentHealth/restartHelps``),
    /// such as a bus whose `run()` threw, or a transport that has been without its broker for too long. A failed
    /// subscription leaves the process live but not ready: its name, options or permissions on the broker are wrong, so
    /// another start would fail in the same way, and a restart loop would take down the subscriptions that work.
    public var isLive: Bool { components.allSatisfy { $0.status != .failed || !$0.restartHelps } }

    /// A Boolean value indicating whether every component is ready.
    public var isReady: Bool { components.allSatisfy { $0.status == .ready } }

    /// The components that are not ready and their reasons, on one line. It is empty if all are ready.
    public var reason: String {
        components.filter { $0.status != .ready }.map { "\($0.name): \($0.reason ?? "\($0.status)")" }
            .joined(separator: "; ")
    }
}

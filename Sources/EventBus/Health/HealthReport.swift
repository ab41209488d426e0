/// The state of a bus and of everything it depends on.
///
/// *Live* and *ready* answer the two questions of an orchestrator: is the process to be restarted, and is it to be given
/// work.
public struct HealthReport: Hashable, Sendable {
    /// The state of each component.
    public var components: [ComponentHealth]

    /// A report on these components.
    public init(components: [ComponentHealth]) {
        self.components = components
    }

    /// Whether restarting the process would not help.
    ///
    /// `false` if a component has failed for good and a new process may do better (``ComponentHealth/restartHelps``), such
    /// as a bus whose `run()` threw, or a transport that has been without its broker for too long. A failed subscription
    /// leaves the process live but not ready: its name, its options or its permissions on the broker are wrong, another
    /// start would fail the same way, and a loop of restarts would take down the subscriptions that work.
    public var isLive: Bool { components.allSatisfy { $0.status != .failed || !$0.restartHelps } }

    /// Whether every component does its work.
    public var isReady: Bool { components.allSatisfy { $0.status == .ready } }

    /// The components that are not ready, each with its reason, in one line; empty if all are.
    public var reason: String {
        components.filter { $0.status != .ready }.map { "\($0.name): \($0.reason ?? "\($0.status)")" }
            .joined(separator: "; ")
    }
}

/// The state of one component: the bus, its transport, a subscription.
public struct ComponentHealth: Hashable, Sendable {
    /// How a component is.
    public enum Status: String, Hashable, Sendable {
        /// It does its work.
        case ready
        /// It will do its work, as soon as something has started, recovered or been unblocked.
        case notReady
        /// It will not recover by itself.
        case failed
    }

    /// What the component is, such as `transport.rabbitmq.publish` or `subscription.inventory.order-created`.
    public var name: String
    /// How it is.
    public var status: Status
    /// Why it is not ready.
    public var reason: String?
    /// Figures worth showing, by name.
    public var details: [String: Int]
    /// Whether restarting the process may help a component that has failed. Has no meaning for other states.
    public var restartHelps: Bool

    /// Creates the state of a component. `restartHelps` defaults to `true`.
    public init(
        name: String,
        status: Status,
        reason: String? = nil,
        details: [String: Int] = [:],
        restartHelps: Bool = true
    ) {
        self.name = name
        self.status = status
        self.reason = reason
        self.details = details
        self.restartHelps = restartHelps
    }
}

/// What works and what does not.
///
/// *Live* asks whether restarting the process would help; *ready* whether it should be given work.
public struct HealthReport: Hashable, Sendable {
    /// The state of each component.
    public var components: [ComponentHealth]

    /// A report on these components.
    public init(components: [ComponentHealth]) {
        self.components = components
    }

    /// Whether no component is beyond recovery.
    public var isLive: Bool { components.allSatisfy { $0.status != .failed } }

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

    /// The state of a component.
    public init(name: String, status: Status, reason: String? = nil, details: [String: Int] = [:]) {
        self.name = name
        self.status = status
        self.reason = reason
        self.details = details
    }
}

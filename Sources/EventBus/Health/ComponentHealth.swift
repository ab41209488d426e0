/// The state of one component: the bus, its transport, or a subscription.
///
/// ```swift
/// for component in bus.health().components where component.status != .ready {
///     print(component.name, component.reason ?? "")
/// }
/// ```
public struct ComponentHealth: Hashable, Sendable {
    /// The status of a component.
    public enum Status: String, Hashable, Sendable {
        /// The component is working.
        case ready
        /// The component is not working yet. It will work as soon as something has started, recovered or been
        /// unblocked.
        case notReady
        /// The component will not recover without intervention.
        case failed
    }

    /// The name of the component, such as `transport.rabbitmq.publish` or `subscription.inventory.order-created`.
    public var name: String
    /// The status of the component.
    public var status: Status
    /// The reason why the component is not ready, or `nil`. A ready component may have a remark. It has no control
    /// characters and is truncated, because it may quote other systems.
    public var reason: String? {
        didSet { reason = reason.map { String(loggable: $0) } }
    }
    /// Additional figures by name.
    public var details: [String: Int]
    /// A Boolean value indicating whether restarting the process may help a component that has failed. It has no
    /// meaning for other statuses.
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
        self.reason = reason.map { String(loggable: $0) }
        self.details = details
        self.restartHelps = restartHelps
    }
}

import EventBus

/// The response of `/health/ready`.
struct HealthDocument: Codable, Hashable, Sendable {
    /// One component.
    struct Component: Codable, Hashable, Sendable {
        var name: String
        var status: String
        var required: Bool
        var reason: String?
        var details: [String: Int]?

        init(_ health: ComponentHealth, required: Bool) {
            self.name = health.name
            self.status = health.status.rawValue
            self.required = required
            self.reason = health.reason
            self.details = health.details.isEmpty ? nil : health.details
        }
    }

    var status: String
    var reason: String?
    var components: [Component]

    init(status: String, reasons: [String], _ components: [Component]) {
        self.status = status
        self.reason = reasons.isEmpty ? nil : reasons.joined(separator: "; ")
        self.components = components
    }

    /// A Boolean value indicating whether the service should receive work.
    var isReady: Bool { status == "ready" }
}

/// A part of the fleet that can be killed and started again.
public protocol FleetMember: Sendable {
    /// What people call it, such as `inventory-service-2`.
    var name: String { get }

    /// Ends it with SIGKILL; returns when it is gone.
    func kill() async throws

    /// Starts it again where it was.
    func restart() async throws
}

/// A part of the fleet that can be killed and started again.
public protocol FleetMember: Sendable {
    /// The name for people, such as `inventory-service-2`.
    var name: String { get }

    /// Ends the member with SIGKILL, and waits until it is gone.
    func kill() async throws

    /// Starts the member again at the same address.
    func restart() async throws
}

/// An event that a disturbance caused for a member of the fleet.
public struct FleetEvent: Hashable, Sendable {
    /// The kind of event.
    public enum Kind: String, Codable, Hashable, Sendable {
        /// The member was ended with SIGKILL.
        case killed
        /// The member was asked to end and has ended.
        case stopped
        /// The member was started again.
        case started
    }

    /// The name of the member.
    public var member: String
    /// The kind of event.
    public var kind: Kind
    /// The time since the first order was placed.
    public var at: Duration
    /// The time in microseconds since 1970, for comparison with the services' spans.
    public var time: Int64
}

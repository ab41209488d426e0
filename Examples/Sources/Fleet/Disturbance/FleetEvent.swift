/// Something that was done to a member of the fleet.
public struct FleetEvent: Hashable, Sendable {
    /// What was done.
    public enum Kind: String, Codable, Hashable, Sendable {
        /// Ended with SIGKILL.
        case killed
        /// Asked to end, and gone.
        case stopped
        /// Started again.
        case started
    }

    /// Who it was.
    public var member: String
    /// What was done.
    public var kind: Kind
    /// Since the first order was placed.
    public var at: Duration
    /// In microseconds since 1970, to be set beside the services' spans.
    public var time: Int64
}

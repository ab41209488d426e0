/// Something in the fleet did not do what it should, in words that a person can act on.
public struct FleetProblem: Error, CustomStringConvertible {
    /// What happened, and what to do.
    public var description: String

    /// A problem.
    public init(_ description: String) {
        self.description = description
    }
}

/// A problem in the fleet, described so that a person can act on it.
public struct FleetProblem: Error, CustomStringConvertible {
    /// The problem and its remedy.
    public var description: String

    /// Creates a problem.
    public init(_ description: String) {
        self.description = description
    }
}

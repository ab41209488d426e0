/// The waits between computations, over all caches of the process.
enum FlightGraph {
    /// A computation.
    struct Node: Hashable, Sendable {
        /// The cache's ``SingleFlight``.
        var cache: ObjectIdentifier
        var flight: FlightStateMachine.FlightID
    }

    static let shared = WaitGraph<Node>()
}

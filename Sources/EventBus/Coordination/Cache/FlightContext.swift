/// The computation that the current task works for.
struct FlightContext: Sendable {
    @TaskLocal static var current: FlightContext?

    var node: FlightGraph.Node
    /// The keys being computed, outermost computation first.
    var path: [[String]]

    /// Returns a description of the computations, with the keys that the innermost one asks for.
    func description(askingFor keys: [String]) -> String {
        (path + [keys]).map { $0.map(\.quotedForError).joined(separator: ", ") }.joined(separator: " → ")
    }
}

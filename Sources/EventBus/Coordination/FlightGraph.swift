/// Which computations wait for which, over all caches of the process.
///
/// Only a computation that asks a cache for something is in it, while it waits. A wait that would close a circle would last
/// until the computations time out: it is refused instead.
final class FlightGraph: Sendable {
    /// A computation.
    struct Node: Hashable, Sendable {
        /// The cache's ``SingleFlight``.
        var cache: ObjectIdentifier
        var flight: FlightMachine.FlightID
    }

    static let shared = FlightGraph()

    private let waits = Locked<[Node: [Node]]>([:])

    /// Notes that `node` waits for `others`, unless one of those waits for `node`.
    ///
    /// - Returns: Whether it was noted; then ``remove(_:waitingFor:)`` has to follow.
    func add(_ node: Node, waitingFor others: [Node]) -> Bool {
        waits.withLock { waits in
            var seen: Set<Node> = []
            var open = others
            while let next = open.popLast() {
                if next == node { return false }
                if seen.insert(next).inserted { open += waits[next] ?? [] }
            }
            waits[node, default: []] += others
            return true
        }
    }

    /// Notes that `node` no longer waits for `others`.
    func remove(_ node: Node, waitingFor others: [Node]) {
        waits.withLock { waits in
            for other in others {
                if let index = waits[node]?.firstIndex(of: other) { waits[node]?.remove(at: index) }
            }
            if waits[node]?.isEmpty == true { waits[node] = nil }
        }
    }
}

/// The computation that the running task works for.
struct FlightContext: Sendable {
    @TaskLocal static var current: FlightContext?

    var node: FlightGraph.Node
    /// What is computed, the outermost computation first.
    var path: [[String]]

    /// The computations in words, with the keys that the innermost one asks for.
    func description(askingFor keys: [String]) -> String {
        (path + [keys]).map { $0.map(\.quotedForError).joined(separator: ", ") }.joined(separator: " → ")
    }
}

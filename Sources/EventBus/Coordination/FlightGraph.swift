/// The waits between computations, over all caches of the process.
///
/// It contains only computations that ask a cache for a value, for as long as they wait. A wait that would close a
/// cycle would last until the computations time out, so it is refused.
final class FlightGraph: Sendable {
    /// A computation.
    struct Node: Hashable, Sendable {
        /// The cache's ``SingleFlight``.
        var cache: ObjectIdentifier
        var flight: FlightMachine.FlightID
    }

    static let shared = FlightGraph()

    private let waits = Locked<[Node: [Node]]>([:])

    /// Records that `node` waits for `others`, unless one of those waits for `node`.
    ///
    /// - Returns: `true` if it was recorded. Then call ``remove(_:waitingFor:)`` afterwards.
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

    /// Records that `node` no longer waits for `others`.
    func remove(_ node: Node, waitingFor others: [Node]) {
        waits.withLock { waits in
            for other in others {
                if let index = waits[node]?.firstIndex(of: other) { waits[node]?.remove(at: index) }
            }
            if waits[node]?.isEmpty == true { waits[node] = nil }
        }
    }
}

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

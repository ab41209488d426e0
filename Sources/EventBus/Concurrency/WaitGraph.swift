/// The waits between activities, each of which does one thing at a time, such as computations or asynchronous listeners.
///
/// It contains only activities that wait for others, for as long as they wait. A wait that would close a cycle would never
/// end by itself, so it is refused.
final class WaitGraph<Node: Hashable & Sendable>: Sendable {
    private let waits = Locked<[Node: [Node]]>([:])

    /// Records that `node` waits for `others`, unless one of those is `node` or waits for it.
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

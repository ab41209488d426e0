/// Counts what the servers of a quorum lock say to one question: no clock, no I/O.
struct QuorumTally {
    /// What one server says.
    enum Ballot: Hashable, Sendable {
        case granted
        case refused
        /// It did not answer, or not as it should.
        case failed
    }

    enum Decision: Hashable, Sendable {
        /// A majority has granted.
        case granted
        /// No majority can grant any more.
        case refused
        /// So many did not answer that there is no majority without them.
        case unreachable
    }

    let members: Int
    private(set) var granted = 0
    private(set) var refused = 0
    private(set) var failed = 0

    init(members: Int) {
        self.members = members
    }

    /// More than half.
    var quorum: Int { members / 2 + 1 }

    mutating func add(_ ballot: Ballot) {
        switch ballot {
        case .granted: granted += 1
        case .refused: refused += 1
        case .failed: failed += 1
        }
    }

    /// What no further ballot can change; `nil` while one can.
    var decision: Decision? {
        if granted >= quorum { return .granted }
        if failed > members - quorum { return .unreachable }
        // Whether others hold it or too few are there is told apart only when enough have spoken.
        if refused > members - quorum || refused + failed > members - quorum && granted + refused + failed == members {
            return .refused
        }
        return nil
    }
}

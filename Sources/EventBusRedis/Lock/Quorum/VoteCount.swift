/// The replies of a quorum lock's servers to one question. It reads no clock and performs no I/O.
struct VoteCount {
    /// The reply of one server.
    enum Vote: Hashable, Sendable {
        case granted
        case refused
        /// The server did not answer, or answered with an error.
        case failed
    }

    enum Decision: Hashable, Sendable {
        /// A majority has granted the lock.
        case granted
        /// A majority can no longer be reached.
        case refused
        /// Too many servers did not answer, so the others cannot form a majority.
        case unreachable
    }

    let members: Int
    private(set) var granted = 0
    private(set) var refused = 0
    private(set) var failed = 0

    init(members: Int) {
        self.members = members
    }

    /// More than half of the servers.
    var quorum: Int { members / 2 + 1 }

    mutating func add(_ ballot: Vote) {
        switch ballot {
        case .granted: granted += 1
        case .refused: refused += 1
        case .failed: failed += 1
        }
    }

    /// The final decision, or `nil` while further replies can change it.
    var decision: Decision? {
        if granted >= quorum { return .granted }
        if failed > members - quorum { return .unreachable }
        // Whether others hold the lock or too few servers answer can be decided only when enough servers have answered.
        if refused > members - quorum || refused + failed > members - quorum && granted + refused + failed == members {
            return .refused
        }
        return nil
    }
}

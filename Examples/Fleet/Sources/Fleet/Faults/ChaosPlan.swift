import ShopData

/// A plan of kills and restarts, which is the same for the same seed.
///
/// Every member is killed equally often, at times spread over the whole window. Some of the strikes happen while
/// another member is down.
public struct ChaosPlan: Hashable, Sendable {
    /// A kill and the following restart.
    public struct Strike: Hashable, Sendable {
        /// The name of the member that is killed.
        public var member: String
        /// The time of the kill, from the beginning of the run.
        public var at: Duration
        /// The time before the member is started again.
        public var downFor: Duration
    }

    /// The fraction of the window after which no member is killed.
    private static let last = 0.93

    /// The seed of this plan.
    public let seed: UInt64
    /// The strikes in order of time.
    public let strikes: [Strike]

    /// Creates a plan.
    ///
    /// - Parameters:
    ///   - seed: The seed of all random decisions.
    ///   - members: The members that can be killed.
    ///   - count: The number of kills for each member.
    ///   - window: The time within which all strikes happen. The last one is well before its end.
    public init(seed: UInt64, members: [String], count: Int, within window: Duration) {
        var generator = SeededGenerator(seed: seed)
        var strikes: [Strike] = []
        for round in 0..<max(0, count) {
            // The last tenth is reserved for starting the members that were killed last while there is still work.
            let (begin, end) = (0.03 + 0.9 * Double(round) / Double(count), 0.9 * Double(round + 1) / Double(count))
            var drawn = members.map { member in
                Strike(
                    member: member,
                    at: window * Double.random(in: begin...max(begin, end - 0.05), using: &generator),
                    downFor: .milliseconds(Int.random(in: 300...2_500, using: &generator))
                )
            }.shuffled(using: &generator)
            let half = drawn.count / 2
            for index in 0..<half {
                let other = drawn[half + index]
                let moment = other.at + other.downFor * Double.random(in: 0.1...0.9, using: &generator)
                drawn[index].at = min(moment, window * Self.last)
            }
            strikes += drawn
        }
        self.seed = seed
        self.strikes = strikes.sorted { ($0.at, $0.member) < ($1.at, $1.member) }
    }
}

import ShopData

/// Who is killed when, and for how long it stays down: the same for the same seed.
///
/// Every member is struck equally often, spread over the time that there is. A part of the strikes falls into the time
/// in which another member is down.
public struct ChaosPlan: Hashable, Sendable {
    /// A kill and a start.
    public struct Strike: Hashable, Sendable {
        /// Who is killed.
        public var member: String
        /// When, from the beginning of the run.
        public var at: Duration
        /// How long it stays down before it is started again.
        public var downFor: Duration
    }

    /// The part of the window after which nobody is killed.
    private static let last = 0.93

    /// The seed that gives this plan.
    public let seed: UInt64
    /// The strikes, in order of time.
    public let strikes: [Strike]

    /// A plan.
    ///
    /// - Parameters:
    ///   - seed: What everything is drawn from.
    ///   - members: Who can be killed.
    ///   - count: How often each is killed.
    ///   - window: The time within which all strikes fall; the last of them well before its end.
    public init(seed: UInt64, members: [String], count: Int, within window: Duration) {
        var generator = SeededGenerator(seed: seed)
        var strikes: [Strike] = []
        for round in 0..<max(0, count) {
            // A tenth at the end is left for what was started last to come up while there is work to do.
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

import Testing

@testable import EventBusRedis

@Suite(.timeLimit(.minutes(1)))
struct VoteCountTests {
    private typealias Vote = VoteCount.Vote

    /// Returns the decision, and the number of ballots after which it was made.
    private func decide(_ members: Int, _ ballots: Vote...) -> (VoteCount.Decision?, after: Int) {
        var tally = VoteCount(members: members)
        for (index, ballot) in ballots.enumerated() {
            tally.add(ballot)
            if let decision = tally.decision { return (decision, index + 1) }
        }
        return (nil, ballots.count)
    }

    @Test func `a majority grants, without waiting for the rest`() {
        #expect(decide(3, .granted, .granted, .granted) == (.granted, 2))
        #expect(decide(3, .failed, .granted, .granted) == (.granted, 3))
        #expect(decide(3, .refused, .granted, .granted) == (.granted, 3))
        #expect(decide(5, .granted, .granted) == (nil, 2))
        #expect(decide(5, .granted, .refused, .granted, .failed, .granted) == (.granted, 5))
        // Half is not more than half.
        #expect(decide(4, .granted, .granted) == (nil, 2))
        #expect(decide(4, .granted, .granted, .granted) == (.granted, 3))
    }

    @Test func `too many that refuse decide, without waiting for the rest`() {
        #expect(decide(3, .refused, .refused, .granted) == (.refused, 2))
        #expect(decide(5, .refused, .granted, .refused, .refused) == (.refused, 4))
        #expect(decide(4, .refused, .granted, .refused) == (.refused, 3))
    }

    @Test func `too many that do not answer are told apart from too many that refuse`() {
        #expect(decide(3, .failed, .failed, .refused) == (.unreachable, 2))
        #expect(decide(3, .refused, .failed) == (nil, 2))
        #expect(decide(3, .refused, .failed, .failed) == (.unreachable, 3))
        #expect(decide(3, .refused, .failed, .granted) == (.refused, 3))
        #expect(decide(5, .failed, .failed, .failed) == (.unreachable, 3))
    }

    @Test func `when all have spoken there is a decision`() {
        let all: [Vote] = [.granted, .refused, .failed]
        for members in 3...6 {
            // Each combination, as a number in base three.
            var combinations = 1
            for _ in 0..<members { combinations *= 3 }
            for combination in 0..<combinations {
                var (tally, rest) = (VoteCount(members: members), combination)
                for _ in 0..<members {
                    tally.add(all[rest % 3])
                    rest /= 3
                }
                #expect((tally.decision == .granted) == (tally.granted > members / 2))
                #expect(tally.decision != nil)
            }
        }
    }
}

import EventBus
import Testing

@Suite("Retry policy", .timeLimit(.minutes(1)))
struct RetryPolicyTests {
    @Test("The bounds grow by the multiplier up to the maximum")
    func bounds() {
        let policy = RetryPolicy(maximumAttempts: 20, initial: .milliseconds(200), multiplier: 2, maximum: .seconds(30))
        let bounds = (1...10).map { policy.bound(afterAttempt: $0) }
        #expect(bounds[0] == .milliseconds(200))
        #expect(bounds[1] == .milliseconds(400))
        #expect(bounds[7] == .milliseconds(25_600))
        #expect(bounds[8] == .seconds(30))
        #expect(policy.bound(afterAttempt: 1_000_000) == .seconds(30))
    }

    @Test("Full jitter is uniform from zero to the bound")
    func jitter() {
        var generator = SplitMix64(seed: 1)
        let policy = RetryPolicy(initial: .seconds(1))
        let delays = (0..<10_000).map { _ in policy.delay(afterAttempt: 1, using: &generator).inSeconds }
        #expect(delays.allSatisfy { (0...1).contains($0) })
        let mean = delays.reduce(0, +) / 10_000
        #expect(abs(mean - 0.5) < 0.02)
        let belowATenth = delays.count { $0 < 0.1 }
        #expect((800...1200).contains(belowATenth))
    }

    @Test("The default makes 12 attempts, whose delays add up to at most 141 seconds and 70 on average")
    func defaultTotal() {
        let policy = RetryPolicy.default
        #expect(policy.maximumAttempts == 12)
        let bounds = (1..<policy.maximumAttempts).map { policy.bound(afterAttempt: $0) }
        #expect(bounds.reduce(.zero, +) == .seconds(141))
        var generator = SplitMix64(seed: 1)
        var total = Duration.zero
        for _ in 0..<1000 {
            for attempt in 1..<policy.maximumAttempts {
                total += policy.delay(afterAttempt: attempt, using: &generator)
            }
        }
        #expect(abs(total.inSeconds / 1000 - 70.5) < 3)
    }

    @Test("From the 20th attempt on no delay is shorter than 10 ms, so that unlimited retries do not spin")
    func shortest() {
        var generator = SplitMix64(seed: 1)
        for policy in [
            RetryPolicy(maximumAttempts: .max, initial: .zero), .fixed(.zero, maximumAttempts: .max),
            RetryPolicy(maximumAttempts: .max, initial: .nanoseconds(1), maximum: .nanoseconds(1)),
        ] {
            #expect(policy.bound(afterAttempt: 19) <= .nanoseconds(1))
            #expect(policy.bound(afterAttempt: 20) == .milliseconds(10))
            #expect(policy.delay(afterAttempt: 20, using: &generator) == .milliseconds(10))
        }
        let jittered = RetryPolicy(maximumAttempts: .max, initial: .milliseconds(20), maximum: .milliseconds(20))
        let delays = (0..<1000).map { _ in jittered.delay(afterAttempt: 30, using: &generator) }
        #expect(delays.allSatisfy { $0 >= .milliseconds(10) && $0 <= .milliseconds(20) })
    }

    static let oddMultipliers: [Double] = [
        .nan, .signalingNaN, .infinity, -.infinity, -1, 0, 0.5, 1, .leastNonzeroMagnitude, .greatestFiniteMagnitude,
    ]
    static let oddDurations: [Duration] = [
        .zero, .seconds(-1), .seconds(Int64.min), .seconds(Int64.max), .nanoseconds(1),
        Duration(secondsComponent: .max, attosecondsComponent: 999_999_999_999_999_999),
    ]

    @Test("No value traps or exceeds the maximum delay, whether set initially or later", arguments: oddMultipliers)
    func oddValues(multiplier: Double) {
        struct Broken: Error {}
        var generator = SplitMix64(seed: 1)
        for duration in Self.oddDurations {
            for attempts in [Int.min, -1, 0, 1, 2, .max] {
                var later = RetryPolicy()
                later.maximumAttempts = attempts
                later.multiplier = multiplier
                later.initial = duration
                later.maximum = duration
                let policy = RetryPolicy(
                    maximumAttempts: attempts,
                    initial: duration,
                    multiplier: multiplier,
                    maximum: duration
                )
                #expect(later == policy)
                #expect(policy.maximumAttempts >= 1 && policy.multiplier >= 1 && policy.initial >= .zero)
                for attempt in [Int.min, -1, 0, 1, 2, 1000, .max - 1, .max] {
                    let bound = policy.bound(afterAttempt: attempt)
                    let maximum = attempt < 20 ? policy.maximum : max(policy.maximum, .milliseconds(10))
                    #expect(bound >= .zero && bound <= maximum)
                    let delay = policy.delay(afterAttempt: attempt, using: &generator)
                    #expect(delay >= .zero && delay <= bound)
                }
            }
        }
    }
}

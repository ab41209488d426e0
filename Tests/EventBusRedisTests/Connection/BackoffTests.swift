import Testing

@testable import EventBusRedis

@Suite(.timeLimit(.minutes(1)))
struct BackoffTests {
    @Test func `the ceiling doubles with each failure up to the maximum, and falls back after success`() {
        var backoff = Backoff(initial: .milliseconds(50), maximum: .seconds(1))
        var ceilings: [Duration] = []
        for _ in 0..<7 {
            ceilings.append(backoff.ceiling)
            backoff.noteFailure()
        }
        #expect(ceilings == [50, 100, 200, 400, 800, 1000, 1000].map { .milliseconds($0) })
        for _ in 0..<10_000 { backoff.noteFailure() }
        #expect(backoff.ceiling == .seconds(1))
        backoff.reset()
        #expect(backoff.ceiling == .milliseconds(50))
    }

    @Test func `a pause is drawn from the whole range between zero and the ceiling`() {
        var backoff = Backoff(initial: .milliseconds(50), maximum: .seconds(1))
        backoff.noteFailure()
        let pauses = (0..<1000).map { _ in backoff.pause() }
        #expect(pauses.allSatisfy { (.zero ... .milliseconds(100)).contains($0) })
        // Full jitter: the mean is half the ceiling, with a standard error of 1 ms here.
        let mean = pauses.reduce(.zero, +) / 1000
        #expect((.milliseconds(40) ... .milliseconds(60)).contains(mean), "\(mean)")
        #expect(Set(pauses).count > 900)
        #expect(pauses.contains { $0 < .milliseconds(5) } && pauses.contains { $0 > .milliseconds(95) })
    }

    @Test func `a maximum below the first pause does not shorten it`() {
        #expect(Backoff(initial: .seconds(2), maximum: .seconds(1)).ceiling == .seconds(2))
    }
}

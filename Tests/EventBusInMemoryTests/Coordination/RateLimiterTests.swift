import EventBus
import EventBusTesting
import Testing

@testable import EventBusInMemory

extension CoordinationTests {
    @Suite("The in-memory rate limiter on a manual clock")
    struct RateLimiterTests {
        let clock = ManualClock()
        let limiter: InMemoryRateLimiter
        let limit = RateLimit(2, per: .seconds(1), burst: 3)

        init() {
            limiter = InMemoryRateLimiter(clock: clock)
        }

        private func request() async throws -> RateLimitDecision { try await limiter.request("a", limit: limit) }

        @Test("Permits become available evenly, and no more than a burst of them accumulates")
        func accumulation() async throws {
            for remaining in [2, 1, 0] {
                #expect(
                    try await request() == RateLimitDecision(isGranted: true, delay: .zero, remaining: remaining)
                )
            }
            #expect(
                try await request() == RateLimitDecision(isGranted: false, delay: .milliseconds(500), remaining: 0)
            )
            clock.advance(by: .milliseconds(499))
            #expect(try await request().isGranted == false)
            clock.advance(by: .milliseconds(1))
            #expect(try await request().isGranted)
            clock.advance(by: .seconds(3600))
            for _ in 0..<3 { #expect(try await request().isGranted) }
            #expect(try await request().isGranted == false)
        }

        @Test("In any span of time, no more than the burst and the permits of that span are granted")
        func anySpan() async throws {
            var grants: [Duration] = []
            var generator = SplitMix64(seed: 7)
            for _ in 0..<2_000 {
                clock.advance(by: .milliseconds(Int.random(in: 0...300, using: &generator)))
                let decision = try await limiter.reserve(
                    "a",
                    permits: 1,
                    limit: limit,
                    wait: .milliseconds(Int.random(in: 0...800, using: &generator))
                )
                if decision.isGranted { grants.append(clock.now.offset + decision.delay) }
            }
            #expect(grants == grants.sorted() && grants.count > 500)
            for first in grants.indices {
                for last in grants[first...].indices.prefix(50) {
                    let span = grants[last] - grants[first]
                    #expect(Double(last - first + 1) <= 3 + 2 * (span / .seconds(1)) + 1e-6)
                }
            }
        }

        @Test("A hundred waiting tasks get their permits one after another, in the order in which they asked")
        func order() async throws {
            let order = EventLog<Int>()
            try await withThrowingTaskGroup(of: Void.self) { group in
                for number in 0..<100 {
                    group.addTask {
                        try await limiter.wait(for: "a", limit: limit, atMost: .seconds(1_000))
                        order.note(number)
                    }
                    if number < 3 {
                        try await eventually("the permit of the burst") { order.count == number + 1 }
                    } else {
                        try await clock.sleepers(atLeast: number - 2)
                    }
                }
                for number in 3..<100 {
                    clock.advance(by: .milliseconds(500))
                    try await eventually("grant \(number)") { order.count == number + 1 }
                }
                try await group.waitForAll()
            }
            #expect(order.entries == Array(0..<100))
            #expect(clock.sleeperCount == 0)
        }

        @Test("Keys whose permits are all available again do not accumulate")
        func bounded() async throws {
            for number in 0..<10_000 {
                _ = try await limiter.request("key-\(number)", limit: limit)
                clock.advance(by: .milliseconds(100))
            }
            #expect(limiter.count <= 64)
        }
    }
}

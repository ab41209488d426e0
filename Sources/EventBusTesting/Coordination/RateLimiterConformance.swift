public import EventBus

/// A conformance suite for implementations of ``/EventBus/RateLimiter``.
///
/// ```swift
/// let limiter = InMemoryRateLimiter()
/// let checks = RateLimiterConformance { limiter }.checks
/// ```
///
/// It uses real time with bounded waits, so that the store may be behind a network. Each check uses a separate key, so
/// checks may run concurrently.
public struct RateLimiterConformance: Sendable {
    private let make: @Sendable () async throws -> any RateLimiter

    /// Creates a suite for the rate limiters that `make` returns.
    ///
    /// - Parameter make: A closure that returns an instance on the store under test. Each check calls it twice, to model
    ///   two processes.
    public init(make: @escaping @Sendable () async throws -> any RateLimiter) {
        self.make = make
    }

    /// The checks, each for one statement of the contract.
    public var checks: [ConformanceCheck] { refusals + waits }

    fileprivate struct Setup: Sendable {
        /// The first of two instances on one store.
        let one: any RateLimiter
        let other: any RateLimiter
        /// A key that nothing else uses.
        let key: String
        /// A limit whose permits do not become available again during the check.
        let slow = RateLimit(5, per: .seconds(3600))
    }

    private func check(_ name: String, _ body: @escaping @Sendable (Setup) async throws -> Void) -> ConformanceCheck {
        ConformanceCheck(name) { [make] in
            try await body(Setup(one: make(), other: make(), key: "conformance-\(EventID())"))
        }
    }

    private var refusals: [ConformanceCheck] {
        [
            check("a burst is granted, and the next request is refused with the time after which to ask again") {
                setup in
                for number in 1...5 {
                    let limiter = number.isMultiple(of: 2) ? setup.one : setup.other
                    let decision = try await limiter.request(setup.key, limit: setup.slow)
                    try expect(decision.isGranted && decision.delay == .zero, "request \(number) got \(decision)")
                    try expect(decision.remaining == 5 - number, "\(decision.remaining) remain after \(number) of 5")
                }
                for limiter in [setup.one, setup.other] {
                    let decision = try await limiter.request(setup.key, limit: setup.slow)
                    try expect(
                        !decision.isGranted && decision.remaining == 0,
                        "a request beyond the burst got \(decision)"
                    )
                    // One permit takes 720 s, part of which has passed.
                    try expect(
                        decision.delay > .seconds(600) && decision.delay <= .seconds(720),
                        "it says to ask again in \(decision.delay)"
                    )
                }
            },
            check("of many concurrent requests, as many as the burst are granted") { setup in
                let granted = try await withThrowingTaskGroup(of: Bool.self) { group in
                    for number in 0..<40 {
                        let limiter = number.isMultiple(of: 2) ? setup.one : setup.other
                        group.addTask { try await limiter.request(setup.key, limit: setup.slow).isGranted }
                    }
                    return try await group.reduce(into: 0) { $0 += $1 ? 1 : 0 }
                }
                try expect(granted == 5, "\(granted) of 40 requests got one of 5 permits")
            },
            check("several permits are granted together or not at all, and a refusal uses none") { setup in
                try expect(try await setup.grants(3), "3 of 5 permits were refused")
                try expect(try await !setup.grants(3), "3 of the last 2 permits were granted")
                try expect(try await setup.grants(2), "the last 2 permits were refused")
            },
            check("a permit that has become available is granted") { setup in
                let limit = RateLimit(1, per: .milliseconds(50))
                try expect(try await setup.one.request(setup.key, limit: limit).isGranted, "the first was refused")
                try await eventually("the second permit") {
                    let decision = try await setup.other.request(setup.key, limit: limit)
                    try expect(decision.delay <= .milliseconds(50), "it says to ask again in \(decision.delay)")
                    return decision.isGranted
                }
            },
            check("keys are independent of each other, however they are spelled") { setup in
                let name = setup.key
                let keys = [
                    name, "\(name):1", "{\(name)}", "\(name) 1", "\(name)\u{E9}", "\(name)e\u{301}", "\(name)\n",
                ]
                let limit = RateLimit(1, per: .seconds(3600))
                for key in keys {
                    try expect(try await setup.one.request(key, limit: limit).isGranted, "'\(key)' was refused")
                }
                for key in keys {
                    try expect(
                        try await !setup.other.request(key, limit: limit).isGranted,
                        "'\(key)' was granted twice"
                    )
                }
            },
            check("an invalid limit, and more permits than its burst, are errors") { setup in
                for limit in [
                    RateLimit(0, per: .seconds(1)), RateLimit(1, per: .zero), RateLimit(1, per: .seconds(1), burst: 0),
                    RateLimit(10, per: .microseconds(1)), RateLimit(1, per: .seconds(3600), burst: .max),
                ] {
                    try await expectError(.invalidConfiguration, from: "a limit of \(limit)") {
                        _ = try await setup.one.request(setup.key, limit: limit)
                    }
                }
                for permits in [0, -1, 6, .max] {
                    try await expectError(.invalidConfiguration, from: "\(permits) permits") {
                        _ = try await setup.one.request(setup.key, permits: permits, limit: setup.slow)
                    }
                }
                try await expectError(.invalidName, from: "an empty key") {
                    _ = try await setup.one.request("", limit: setup.slow)
                }
            },
        ]
    }

    private var waits: [ConformanceCheck] {
        [
            check("requests that accept a wait are given times in the order in which they ask") { setup in
                let limit = RateLimit(10, per: .seconds(3600), burst: 1)
                try expect(try await setup.one.request(setup.key, limit: limit).isGranted, "the first was refused")
                var last = Duration.zero
                for number in 1...4 {
                    let limiter = number.isMultiple(of: 2) ? setup.one : setup.other
                    let decision = try await limiter.reserve(setup.key, permits: 1, limit: limit, wait: .seconds(3600))
                    // Each follows the one before after 360 s, minus the time between the requests.
                    let step = decision.delay - last
                    try expect(
                        decision.isGranted && step > .seconds(240) && step <= .seconds(361),
                        "request \(number) got \(decision) after \(last)"
                    )
                    last = decision.delay
                }
            },
            check("waiting returns when the permit may be used") { setup in
                let limit = RateLimit(1, per: .milliseconds(40))
                let begin = setup.one.clock.now
                for _ in 0..<4 { try await setup.one.wait(for: setup.key, limit: limit) }
                let waited = begin.duration(to: setup.one.clock.now)
                try expect(waited >= .milliseconds(119), "four permits, one every 40 ms, took \(waited)")
            },
            check("a wait that would be too long fails immediately and uses no permit") { setup in
                let limit = RateLimit(1, per: .seconds(3600))
                try await setup.one.wait(for: setup.key, limit: limit)
                for _ in 0..<3 {
                    try await expectError(.rateLimited, from: "wait") {
                        try await setup.other.wait(for: setup.key, limit: limit, atMost: .seconds(600))
                    }
                }
                let decision = try await setup.other.request(setup.key, limit: limit)
                try expect(decision.delay <= .seconds(3600), "the refused waits were granted: \(decision)")
            },
            check("a cancelled wait throws") { setup in
                let limit = RateLimit(1, per: .seconds(3600))
                try await setup.one.wait(for: setup.key, limit: limit)
                let waiting = Task { try await setup.one.wait(for: setup.key, limit: limit, atMost: .seconds(7200)) }
                waiting.cancel()
                do {
                    try await waiting.value
                    throw ConformanceFailure("a cancelled wait returned")
                } catch is CancellationError {}
            },
        ]
    }
}

extension RateLimiterConformance.Setup {
    fileprivate func grants(_ permits: Int) async throws -> Bool {
        try await one.request(key, permits: permits, limit: slow).isGranted
    }
}

import EventBus
import MetricsTestKit
import Testing

@testable import EventBusRedis

extension RedisTests {
    @Suite(.timeLimit(.minutes(1)))
    struct RedisRateLimiterTests {
        private let name = "test-\(EventID())"

        private var key: String { "eventbus:rate:\(RedisKeys.tag(name))" }

        @Test func `a key exists until its permits have become available again`() async throws {
            let client = try await SharedRedis.client()
            let limiter = RedisRateLimiter(client)
            _ = try await limiter.request(name, limit: RateLimit(10, per: .seconds(100)))
            let left = try await client.send("PTTL", .text(key)).integer ?? 0
            #expect(left > 0 && left <= 10_001)
            _ = try await limiter.request(name, permits: 9, limit: RateLimit(10, per: .seconds(100)))
            let more = try await client.send("PTTL", .text(key)).integer ?? 0
            #expect(more > 10_001 && more <= 100_001)
        }

        @Test func `a clock that is set back delays nobody beyond the permits in use`() async throws {
            let client = try await SharedRedis.client()
            let limiter = RedisRateLimiter(client)
            // Written by a server whose clock was an hour ahead, with one of two permits used.
            let seconds = try #require(try await client.send("TIME").array?.first?.text.flatMap { Int64($0) })
            _ = try await client.send("SET", .text(key), .text("\((seconds + 3600) * 1_000_000):50000000.000"))
            let limit = RateLimit(2, per: .seconds(100))
            #expect(try await limiter.request(name, limit: limit).isGranted)
            let refusal = try await limiter.request(name, limit: limit)
            #expect(!refusal.isGranted && refusal.delay <= .seconds(50))
        }

        @Test func `after a clock was set back, permits become available in their own time`() async throws {
            let client = try await SharedRedis.client()
            let limiter = RedisRateLimiter(client)
            // Written by a server whose clock was an hour ahead, with all permits used.
            let seconds = try #require(try await client.send("TIME").array?.first?.text.flatMap { Int64($0) })
            let limit = RateLimit(2, per: .milliseconds(400))
            _ = try await client.send("SET", .text(key), .text("\((seconds + 3600) * 1_000_000):400000.000"))
            let refusal = try await limiter.request(name, limit: limit)
            #expect(!refusal.isGranted && refusal.delay <= .milliseconds(200))
            try await eventually("a permit should become available", within: .seconds(10)) {
                try await limiter.request(name, limit: limit).isGranted
            }
        }

        @Test(arguments: ["", "nonsense", "1:2", "-5:1.0", "9e999:1.0", "1:\(String(repeating: "9", count: 400)).0"])
        func `a key that another program wrote is replaced, or refuses without an error`(value: String) async throws {
            let client = try await SharedRedis.client()
            _ = try await client.send("SET", .text(key), .text(value))
            let decision = try await RedisRateLimiter(client).request(name, limit: RateLimit(2, per: .seconds(100)))
            #expect(decision.isGranted)
        }

        @Test func `on a server that is full a request fails with its error, and leaves nothing behind`() async throws {
            let server = try await RedisServer("--maxmemory-policy", "noeviction")
            let admin = try server.client()
            let limiter = RedisRateLimiter(try server.client())
            _ = try await limiter.request("known", limit: RateLimit(10, per: .seconds(100)))
            _ = try await admin.send(RedisCommand("CONFIG", ["SET", "maxmemory", "1"]))
            for key in ["known", "new"] {
                let error = await #expect(throws: EventBusError.self) {
                    _ = try await limiter.request(key, limit: RateLimit(10, per: .seconds(100)))
                }
                #expect(error?.isOutOfMemory == true, "\(String(describing: error))")
            }
            #expect(try await admin.send("DBSIZE").integer == 1)
            _ = try await admin.send(RedisCommand("CONFIG", ["SET", "maxmemory", "0"]))
            let decision = try await limiter.request("known", limit: RateLimit(10, per: .seconds(100)))
            #expect(decision.remaining == 8)
        }

        @Test(arguments: [1, 3, 7, 1_000, 999_999])
        func `rounding refuses no permit of a burst`(count: Int) async throws {
            let limiter = RedisRateLimiter(try await SharedRedis.client())
            let limit = RateLimit(count, per: .seconds(3600), burst: 7)
            for permit in 1...7 {
                let decision = try await limiter.request("\(name)-\(count)", limit: limit)
                #expect(decision.isGranted, "permit \(permit)")
            }
        }

        @Test func `requests are counted by outcome`() async throws {
            let metrics = TestMetrics()
            let server = try await RedisServer()
            let limiter = RedisRateLimiter(
                try server.client(),
                prefix: "metrics",
                metrics: RateLimiterMetrics(prefix: "metrics", factory: metrics)
            )
            let limit = RateLimit(1, per: .seconds(3600))
            for _ in 0..<3 { _ = try await limiter.request(name, limit: limit) }
            server.kill()
            await #expect(throws: EventBusError.self) { _ = try await limiter.request(name, limit: limit) }
            for (outcome, count) in ["granted": 1, "refused": 2, "failed": 1] {
                let counter = try metrics.expectCounter(
                    "eventbus.rate_limit.requests",
                    [("limiter", "metrics"), ("outcome", outcome)]
                )
                #expect(counter.totalValue == Int64(count), "\(outcome)")
            }
        }
    }
}

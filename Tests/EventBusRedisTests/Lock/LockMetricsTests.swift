import EventBus
import MetricsTestKit
import Testing

@testable import EventBusRedis

extension RedisTests {
    @Suite(.timeLimit(.minutes(2)))
    struct LockMetricsTests {
        private let metrics = TestMetrics()

        private func lock(_ client: RedisClient) -> RedisLock {
            RedisLock(
                client,
                prefix: "metrics",
                handOverTime: .milliseconds(500),
                askTime: client.configuration.commandTimeout,
                outlivesOutages: true,
                metrics: LockMetrics(prefix: "metrics", factory: metrics)
            )
        }

        private func acquisitions(_ outcome: String) throws -> Int64 {
            try metrics.expectCounter("eventbus.lock.acquisitions", [("lock", "metrics"), ("outcome", outcome)])
                .totalValue
        }

        private var lost: Int64 {
            get throws { try metrics.expectCounter("eventbus.lock.lost", [("lock", "metrics")]).totalValue }
        }

        /// Waits until so many leases are counted as lost.
        private func expectLost(_ count: Int64) async throws {
            try await eventually("\(count) leases should be lost") { try lost == count }
        }

        @Test func `acquisitions are counted by outcome, and their waits timed`() async throws {
            let server = try await RedisServer()
            let lock = lock(try server.client())
            try await lock.withLock("a") { _ in
                await #expect(throws: EventBusError.self) {
                    _ = try await lock.acquire("a", ttl: .seconds(1), wait: .milliseconds(20))
                }
                let waiting = Task { try await lock.acquire("a", ttl: .seconds(1), wait: .seconds(30)) }
                waiting.cancel()
                _ = await waiting.result
            }
            server.kill()
            await #expect(throws: EventBusError.self) { _ = try await lock.acquire("a", ttl: .seconds(1), wait: .zero) }
            #expect(try acquisitions("acquired") == 1)
            #expect(try acquisitions("timed_out") == 1)
            #expect(try acquisitions("cancelled") == 1)
            #expect(try acquisitions("failed") == 1)
            let wait = try metrics.expectTimer("eventbus.lock.wait", [("lock", "metrics")])
            #expect(wait.values.count == 1 && wait.values.allSatisfy { $0 > 0 })
            #expect(try lost == 0)
        }

        @Test func `waiting calls and hand-overs are counted`() async throws {
            let server = try await RedisServer()
            let lock = lock(try server.client())
            let labels = [("lock", "metrics")]
            let waiting = try metrics.expectMeter("eventbus.lock.waiting", labels)
            let handedOver = try metrics.expectCounter("eventbus.lock.handovers", labels)
            let first = try await lock.acquire("a", ttl: .seconds(60), wait: .zero)
            let second = Task { try await lock.acquire("a", ttl: .seconds(60), wait: .seconds(30)) }
            try await eventually("it should wait") { waiting.values.last == 1 }
            let third = Task { try await lock.acquire("a", ttl: .seconds(60), wait: .seconds(30)) }
            try await eventually("both should wait") { waiting.values.last == 2 }
            third.cancel()
            _ = await third.result
            try await eventually("one should wait") { waiting.values.last == 1 }
            #expect(handedOver.values.isEmpty)
            try await lock.release(first)
            let grant = try await second.value
            #expect(waiting.values.last == 0)
            #expect(handedOver.totalValue == 1)
            try await lock.release(grant)
        }

        @Test func `a lease that was lost is counted once, whoever noticed it and how often`() async throws {
            let server = try await RedisServer()
            let client = try server.client()
            let lock = lock(client)
            func forget() async throws {
                _ = try await client.send(RedisCommand("FLUSHALL"))
            }
            // Detected by a renewal, a script and the release.
            let grant = try await lock.acquire("a", ttl: .seconds(60), wait: .zero)
            try await forget()
            for _ in 0..<2 { await #expect(throws: EventBusError.self) { _ = try await lock.renew(grant) } }
            await #expect(throws: EventBusError.self) { _ = try await lock.evaluate("return 1", keys: [], [], grant) }
            await #expect(throws: EventBusError.self) { try await lock.release(grant) }
            try await expectLost(1)

            // Detected by the release alone, here and as another holder's.
            let second = try await lock.acquire("a", ttl: .seconds(60), wait: .zero)
            try await forget()
            await #expect(throws: EventBusError.self) { try await lock.release(second) }
            try await expectLost(2)
            let third = try await lock.acquire("a", ttl: .seconds(60), wait: .zero)
            try await forget()
            _ = try await self.lock(try server.client()).acquire("a", ttl: .seconds(60), wait: .zero)
            await #expect(throws: EventBusError.self) { try await lock.release(third) }
            try await expectLost(3)
        }

        @Test func `a lease that ends while the server does not answer is counted as lost`() async throws {
            let server = try await RedisServer()
            let lock = lock(try server.client { $0.commandTimeout = .milliseconds(200) })
            let entered = Signal()
            let body = Task {
                try await lock.withLock("a", ttl: .milliseconds(300), wait: .zero) { _ in
                    entered.raise()
                    try await Signal().wait()
                }
            }
            try await entered.wait()
            server.pause()
            await #expect(throws: EventBusError.self) { try await body.value }
            try await expectLost(1)
            server.resume()
        }

        @Test func `a release that the server confirms, or nobody needs, loses nothing`() async throws {
            let server = try await RedisServer()
            let lock = lock(try server.client { $0.commandTimeout = .milliseconds(200) })
            let grant = try await lock.acquire("a", ttl: .seconds(60), wait: .zero)
            _ = try await lock.renew(grant)
            try await lock.release(grant)
            lock.abandon(try await lock.acquire("b", ttl: .seconds(60), wait: .zero))
            let unheard = try await lock.acquire("c", ttl: .seconds(60), wait: .zero)
            server.pause()
            await #expect(throws: EventBusError.self) { try await lock.release(unheard) }
            server.resume()
            #expect(try lost == 0)
            // Repeated until it was answered.
            let other = self.lock(try server.client())
            try await eventually("the lock should be free") {
                guard let lease = try? await other.tryLock("c", ttl: .seconds(60)) else { return false }
                try await lease.release()
                return true
            }
        }
    }
}

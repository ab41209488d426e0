import CoreMetrics
import EventBus
import MetricsTestKit
import Testing

@testable import EventBusRedis

extension RedisTests {
    @Suite(.timeLimit(.minutes(2)))
    struct ClientMetricsTests {
        private let metrics = TestMetrics()

        private func client(
            _ server: RedisServer,
            _ change: (inout RedisConfiguration) -> Void = { _ in }
        ) throws -> RedisClient {
            var configuration = server.configuration
            change(&configuration)
            return try RedisClient(configuration, logger: .silent, metrics: metrics)
        }

        private func count(_ command: String, _ outcome: String) -> Int64 {
            let counter = try? metrics.expectCounter(
                "eventbus.redis.commands",
                [("command", command), ("outcome", outcome)]
            )
            return counter?.totalValue ?? 0
        }

        private func meter(_ name: String, _ connection: String) throws -> Double {
            try metrics.expectMeter("eventbus.redis.\(name)", [("connection", connection)]).values.last ?? 0
        }

        @Test func `commands are counted by name and outcome, and timed if they are answered`() async throws {
            let server = try await RedisServer()
            let client = try client(server) { $0.commandTimeout = .milliseconds(200) }
            _ = try await client.send("SET", "text", "value")
            for _ in 0..<3 { _ = try await client.send("GET", "text") }
            await #expect(throws: EventBusError.self) { _ = try await client.send("INCR", "text") }
            _ = try await client.send(contentsOf: [RedisCommand("GET", ["a"]), RedisCommand("GET", ["b"])])
            server.pause()
            await #expect(throws: EventBusError.self) { _ = try await client.send("GET", "text") }
            server.resume()
            try await eventually("the last command should be counted") {
                count("GET", EventBusError.Code.indeterminate.description) == 1
            }
            #expect(count("SET", "success") == 1)
            #expect(count("GET", "success") == 5)
            #expect(count("INCR", "error") == 1)
            let duration = try metrics.expectTimer("eventbus.redis.command.duration", [("command", "GET")])
            #expect(duration.values.count == 5 && duration.values.allSatisfy { $0 > 0 })
        }

        @Test func `scripts have the names of what they do`() async throws {
            let server = try await RedisServer()
            let client = try client(server)
            try await RedisLock(client).withLock("metrics") { _ in }
            try await RedisCache(client).set(1, for: "metrics")
            try await eventually("the last script should be counted") { count("cache.store", "success") == 1 }
            #expect(count("lock.acquire", "success") > 0)
            #expect(count("lock.release", "success") > 0)
        }

        @Test func `names of commands are bounded`() async throws {
            let server = try await RedisServer()
            let client = try client(server)
            for number in 0..<(ClientMetrics.maximumNames + 10) {
                await #expect(throws: EventBusError.self) { _ = try await client.send("NAME\(number)") }
            }
            try await eventually("the last names should be one") { count("other", "error") == 10 }
        }

        @Test func `connections, reconnects and open breakers are counted`() async throws {
            let server = try await RedisServer()
            let client = try client(server)
            try await client.ping()
            try await eventually("it should be connected") { try meter("connected", "values") == 1 }
            #expect(try metrics.expectCounter("eventbus.redis.reconnects", [("connection", "values")]).values.isEmpty)

            server.kill()
            try await eventually("the breaker should open") {
                _ = try? await client.ping()
                return try meter("breakers_open", "values") == 1
            }
            try await eventually("it should not be connected") { try meter("connected", "values") == 0 }
            try await eventually("the refused commands should be counted") {
                count("PING", EventBusError.Code.unavailable.description) > 0
            }

            try await server.start()
            try await eventually("it should reconnect") { (try? await client.ping()) != nil }
            let reconnects = try metrics.expectCounter("eventbus.redis.reconnects", [("connection", "values")])
            try await eventually("the reconnect should be counted") { reconnects.totalValue == 1 }
            #expect(try meter("connected", "values") == 1)
            #expect(try meter("breakers_open", "values") == 0)
            await client.close()
            try await eventually("it should be closed") { try meter("connected", "values") == 0 }
        }

        @Test func `commands in flight are recorded, and are none after the connection is lost`() async throws {
            let server = try await RedisServer()
            let client = try client(server) {
                $0.heartbeat = .milliseconds(50)
                $0.commandTimeout = .seconds(30)
            }
            try await client.ping()
            server.pause()
            let calls = (0..<5).map { _ in Task { try await client.ping() } }
            try await eventually("they should be recorded") {
                try metrics.expectMeter("eventbus.redis.in_flight", [("connection", "values")]).values
                    .contains { $0 >= 5 }
            }
            server.resume()
            for call in calls { _ = await call.result }
            try await eventually("none should be in flight") { try meter("in_flight", "values") < 2 }
            await client.close()
        }

        /// A factory whose handlers block until a valve is opened.
        private struct BlockingFactory: MetricsFactory {
            let metrics = TestMetrics()
            let blocked: Shared<Bool>
            let valve: Valve

            private func pass() {
                blocked.change { $0 = true }
                valve.pass()
            }

            func makeCounter(label: String, dimensions: [(String, String)]) -> any CounterHandler {
                pass()
                return metrics.makeCounter(label: label, dimensions: dimensions)
            }

            func makeTimer(label: String, dimensions: [(String, String)]) -> any TimerHandler {
                pass()
                return metrics.makeTimer(label: label, dimensions: dimensions)
            }

            func makeRecorder(label: String, dimensions: [(String, String)], aggregate: Bool) -> any RecorderHandler {
                metrics.makeRecorder(label: label, dimensions: dimensions, aggregate: aggregate)
            }

            func makeMeter(label: String, dimensions: [(String, String)]) -> any MeterHandler {
                metrics.makeMeter(label: label, dimensions: dimensions)
            }

            func makeFloatingPointCounter(
                label: String,
                dimensions: [(String, String)]
            ) -> any FloatingPointCounterHandler {
                metrics.makeFloatingPointCounter(label: label, dimensions: dimensions)
            }

            func destroyCounter(_ handler: any CounterHandler) { metrics.destroyCounter(handler) }
            func destroyRecorder(_ handler: any RecorderHandler) { metrics.destroyRecorder(handler) }
            func destroyTimer(_ handler: any TimerHandler) { metrics.destroyTimer(handler) }
            func destroyMeter(_ handler: any MeterHandler) { metrics.destroyMeter(handler) }
            func destroyFloatingPointCounter(_ handler: any FloatingPointCounterHandler) {
                metrics.destroyFloatingPointCounter(handler)
            }
        }

        @Test func `a handler of metrics that blocks delays neither commands nor renewals`() async throws {
            let server = try await RedisServer()
            let (blocked, valve) = (Shared(false), Valve())
            let factory = BlockingFactory(blocked: blocked, valve: valve)
            let client = try RedisClient(server.configuration, logger: .silent, metrics: factory)
            // Before the valve is closed, because a lock creates its metrics.
            let lock = RedisLock(client)
            valve.close()
            defer { valve.open() }
            blocked.change { $0 = false }
            try await client.ping()
            try await eventually("the handler should block") { blocked.value }
            for number in 0..<100 { _ = try await client.send("SET", "key", .integer(Int64(number))) }
            try await awaitRenewal(by: lock)
            valve.open()
            try await eventually("all commands should be counted") {
                let counter = try? factory.metrics.expectCounter(
                    "eventbus.redis.commands",
                    [("command", "SET"), ("outcome", "success")]
                )
                return counter?.totalValue == 100
            }
        }

        @Test func `nothing is measured if nobody collects metrics`() {
            #expect(ClientMetrics(NOOPMetricsHandler.instance, logger: .silent) == nil)
        }
    }
}

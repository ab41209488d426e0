import EventBus
import Logging
import Testing

@testable import EventBusRedis

extension RedisTests {
    @Suite(.timeLimit(.minutes(1)))
    struct LoggingTests {
        /// A log handler that blocks at the first connection until its valve is opened.
        private struct BlockingHandler: LogHandler {
            let blocked: Shared<Bool>
            let valve: Valve
            var metadata: Logger.Metadata = [:]
            var logLevel = Logger.Level.trace

            subscript(metadataKey key: String) -> Logger.Metadata.Value? {
                get { metadata[key] }
                set { metadata[key] = newValue }
            }

            func log(event: LogEvent) {
                guard event.message.description == "connected to Redis" else { return }
                blocked.change { $0 = true }
                valve.pass()
                blocked.change { $0 = false }
            }
        }

        @Test func `a log handler that blocks delays neither commands nor renewals`() async throws {
            let server = try await RedisServer()
            let (blocked, valve) = (Shared(false), Valve(isOpen: false))
            defer { valve.open() }
            let logger = Logger(label: "test") { _ in BlockingHandler(blocked: blocked, valve: valve) }
            let client = try RedisClient(server.configuration, logger: logger)
            try await client.ping()
            try await eventually("the handler should block") { blocked.value }
            try await client.ping()
            try await awaitRenewal(by: RedisLock(client))
            #expect(blocked.value, "all this happened while the handler was blocked")
        }
    }
}

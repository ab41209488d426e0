import EventBus
import EventBusInMemory
import EventBusTesting
import InMemoryLogging
import Logging
import Testing

@Suite("Logging", .timeLimit(.minutes(1)))
struct LoggingObserverTests {
    @Test("Log messages of a handler and its bus have the event, its chain, its group and its attempt")
    func lines() async throws {
        let handler = InMemoryLogHandler()
        var logger = Logger(label: "test") { _ in handler }
        logger.logLevel = .debug
        let broker = InMemoryBroker(clock: ManualClock())
        let bus = EventBus(transport: .inMemory(broker), logger: logger)
        let retry = RetryPolicy.fixed(.seconds(1), maximumAttempts: 2)
        bus.subscribe(to: OrderCreated.self, group: "g", options: .init(retry: retry)) { _, context in
            context.logger.info("working")
            throw Broken()
        }
        try await bus.withRunning {
            try await bus.publish(OrderCreated(orderID: "1"), options: .init(id: "e-1", correlationID: "c-1"))
            try await broker.settled()
        }
        let entries = handler.entries.filter { $0.metadata["event-id"] == "e-1" }
        let messages = entries.map { "\($0.level): \($0.message)" }
        #expect(
            messages == [
                "info: working", "info: event failed and will be retried",
                "info: working", "info: event dead-lettered",
            ]
        )
        #expect(
            entries.allSatisfy { $0.metadata["correlation-id"] == "c-1" && $0.metadata["topic"] == "order.created" }
        )
        #expect(entries.allSatisfy { $0.metadata["group"] == "g" && $0.metadata["subscription"] == "order-created" })
        #expect(entries.map { $0.metadata["attempt"] } == ["1", "1", "2", "2"])
        #expect(entries.last?.metadata["reason"] == "attempts_exhausted")
        #expect(handler.entries.allSatisfy { $0.level <= .info })
    }

    @Test("A failing local listener is logged and does not affect others")
    func localListener() async throws {
        let handler = InMemoryLogHandler()
        let bus = EventBus(transport: .inMemory(), logger: Logger(label: "test") { _ in handler })
        let heard = Locked(0)
        bus.local.on(OrderCreated.self) { _ in throw Broken() }
        bus.local.on(OrderCreated.self) { _ in heard.withLock { $0 += 1 } }
        bus.local.emit(OrderCreated(orderID: "1"))
        #expect(heard.withLock { $0 } == 1)
        #expect(handler.entries.map(\.message) == ["local listener failed"])
    }
}

import EventBus
import EventBusInMemory
import EventBusTesting
import Testing

/// planted gave the event up at 2026-11-30T15:48:08.384Z after 3 attempts, as attempts_exhausted:
/// EventBusCommandsTests.StockError
@Test("order.created bug-stock is handled by planted")
func deadLetter_bug_stock() async throws {
    let broker = InMemoryBroker(clock: ManualClock())
    let bus = EventBus(transport: .inMemory(broker))
    PlantedBugs.subscribe(bus)
    let event = Envelope(
        id: EventID("bug-stock"),
        topic: "order.created",
        payload: Array(#"{"email":"redacted","order":"A-7","total":120}"#.utf8),
        contentType: "application/json",
        version: 1,
        time: EventTime(milliseconds: 1700000000123),
        source: "orders",
        correlationID: CorrelationID("story-stock")
    )
    try await bus.withRunning {
        let receipt = try await bus.publish(event)
        #expect(receipt.outcome == .routed, "no subscription requests the event")
        try await broker.settled()
        for letter in try await bus.deadLetters(of: "planted").entries(limit: 100) {
            Issue.record("\(letter.failure.reason): \(letter.failure.errorType): \(letter.failure.message)")
        }
    }
}

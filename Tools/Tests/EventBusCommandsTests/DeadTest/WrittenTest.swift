import EventBus
import EventBusInMemory
import EventBusTesting
import Testing

/// inventory gave the event up at 2023-11-14T22:14:30.000Z after 12 attempts, as attempts_exhausted:
/// EventBusCommandsTests.PlantedBug.StockError
@Test("order.created 0192f0c0-7c1e is handled by inventory")
func deadLetter_0192f0c0_7c1e() async throws {
    let broker = InMemoryBroker(clock: ManualClock())
    let bus = EventBus(transport: .inMemory(broker))
    PlantedBug.subscribe(bus)
    let event = Envelope(
        id: EventID("0192f0c0-7c1e"),
        topic: "order.created",
        payload: Array(##"{"email":"redacted","order":"A \"7\" #1","total":120}"##.utf8),
        contentType: "application/json",
        version: 1,
        time: EventTime(milliseconds: 1700000000123),
        source: "orders",
        correlationID: CorrelationID("order-7"),
        headers: EventHeaders(["tenant": .string("redacted"), "tries": .int(3)] as HeaderTable)
    )
    try await bus.withRunning {
        let receipt = try await bus.publish(event)
        #expect(receipt.outcome == .routed, "no subscription requests the event")
        try await broker.settled()
        for letter in try await bus.deadLetters(of: "inventory").entries(limit: 100) {
            Issue.record("\(letter.failure.reason): \(letter.failure.errorType): \(letter.failure.message)")
        }
    }
}

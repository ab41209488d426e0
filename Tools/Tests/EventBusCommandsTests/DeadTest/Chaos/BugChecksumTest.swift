import EventBus
import EventBusInMemory
import EventBusTesting
import Testing

/// planted gave the event up at 2026-11-30T15:48:08.587Z after 3 attempts, as attempts_exhausted:
/// EventBusCommandsTests.NegativeChecksum: NegativeChecksum(sum: -6)
@Test("order.archived bug-checksum is handled by planted")
func deadLetter_bug_checksum() async throws {
    let broker = InMemoryBroker(clock: ManualClock())
    let bus = EventBus(transport: .inMemory(broker))
    PlantedBugs.subscribe(bus)
    let event = Envelope(
        id: EventID("bug-checksum"),
        topic: "order.archived",
        payload: [255, 0, 123, 128],
        contentType: "application/octet-stream",
        version: 1,
        time: EventTime(milliseconds: 1700000000123),
        headers: EventHeaders(["ratio": .double(0.5), "tries": .int(3)] as HeaderTable)
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

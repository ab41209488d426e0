import EventBus
import EventBusTesting
import Testing

@testable import EventBusInMemory

@Suite("In-memory dead letters", .timeLimit(.minutes(1)))
struct InMemoryDeadLettersTests {
    /// Dead-letters one event for each of `texts` in the queue `stock.orders`, and continues with its consumer.
    private func withDeadLetters(
        _ texts: [String],
        clock: ManualClock = ManualClock(),
        body: @Sendable (InMemoryTransport, RecordingSink, any TransportConsumer) async throws -> Void
    ) async throws {
        let transport = InMemoryTransport(broker: InMemoryBroker(clock: clock))
        let sink = RecordingSink()
        try await running(transport) {
            let consumer = try await transport.attach(.sample(), to: sink)
            for (index, text) in texts.enumerated() {
                try await transport.publish(.sample(text))
                try await consumer.settle(await sink.delivery(index), as: .deadLettered(.sample))
            }
            try await body(transport, sink, consumer)
        }
    }

    @Test("They are kept in order for each group until they are handled")
    func entries() async throws {
        try await withDeadLetters(["a", "b", "c"]) { transport, _, _ async throws in
            let dead = transport.deadLetters(of: "stock")
            #expect(try await dead.count() == 3)
            #expect(try await dead.entries(limit: 2).map(\.envelope.id) == ["id-a", "id-b"])
            #expect(try await dead.count() == 3)
            #expect(try await transport.deadLetters(of: "mail").count() == 0)
        }
    }

    @Test("Replaying sends them to their queue as a first attempt, and a dry run only counts")
    func replay() async throws {
        try await withDeadLetters(["a", "b", "c"]) { transport, sink, consumer in
            let dead = transport.deadLetters(of: "stock")
            #expect(try await dead.replayAll(options: ReplayOptions(dryRun: true)) == 3)
            #expect(try await dead.count() == 3)
            #expect(try await dead.replay("id-b") == 1)
            let again = await sink.delivery(3)
            #expect(again.text == "b")
            #expect(again.attempt == 1)
            #expect(try await dead.entries(limit: 9).map(\.envelope.id) == ["id-a", "id-c"])
            try await consumer.settle(again, as: .acknowledged)
            try await transport.broker.settled()
        }
    }

    @Test("A rate limits the speed of a replay")
    func rate() async throws {
        let clock = ManualClock()
        try await withDeadLetters(["a", "b", "c"], clock: clock) { transport, sink, _ in
            let dead = transport.deadLetters(of: "stock")
            let replaying = Task { try await dead.replayAll(options: ReplayOptions(maximumPerSecond: 2)) }
            _ = await sink.delivery(3)
            for index in 4..<6 {
                try await clock.sleepers(atLeast: 1)
                #expect(sink.deliveries.count == index)
                clock.advance(by: .milliseconds(500))
                _ = await sink.delivery(index)
            }
            #expect(try await replaying.value == 3)
            #expect(try await dead.count() == 0)
        }
    }

    @Test("Discarding removes them permanently")
    func discard() async throws {
        try await withDeadLetters(["a", "b", "c"]) { transport, sink, _ in
            let dead = transport.deadLetters(of: "stock")
            let discarded = try await dead.discard { $0.envelope.id != "id-b" }
            #expect(discarded == 2)
            #expect(try await dead.entries(limit: 9).map(\.envelope.id) == ["id-b"])
            #expect(sink.deliveries.count == 3)
        }
    }

    @Test("A dead letter whose queue is gone is kept, and the error names the queue")
    func orphan() async throws {
        let transport = InMemoryTransport()
        let sink = RecordingSink()
        try await running(transport) {
            let consumer = try await transport.attach(.sample(broadcast: true), to: sink)
            try await transport.publish(.sample("a"))
            let delivery = await sink.delivery(0)
            try await consumer.settle(delivery, as: .deadLettered(.sample))
            await consumer.close()
            let dead = transport.deadLetters(of: "stock")
            let error = await #expect(throws: EventBusError.self) { _ = try await dead.replayAll() }
            #expect(error?.code == .notFound)
            #expect(error?.message.contains("stock.orders") == true)
            #expect(try await dead.count() == 1)
        }
    }
}

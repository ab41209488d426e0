import EventBus
import EventBusTesting
import Testing

@testable import EventBusInMemory

@Suite("In-memory transport", .timeLimit(.minutes(1)))
struct InMemoryTransportTests {
    @Test("An event reaches the queue of every matching subscription and is removed when acknowledged")
    func publishAndAcknowledge() async throws {
        let transport = InMemoryTransport()
        let exact = RecordingSink()
        let wide = RecordingSink()
        let other = RecordingSink()
        try await running(transport) {
            let first = try await transport.attach(.sample("stock"), to: exact)
            let second = try await transport.attach(.sample("mail", patterns: ["order.#"]), to: wide)
            _ = try await transport.attach(.sample("billing", patterns: ["invoice.*"]), to: other)
            #expect(try await transport.publish(.sample("a")) == .routed)
            #expect(try await transport.publish(.sample("b", topic: "user.created")) == .unroutable)
            try await first.settle(await exact.delivery(0), as: .acknowledged)
            #expect(transport.broker.queues.map(\.unsettled) == [0, 1, 0])
            try await second.settle(await wide.delivery(0), as: .acknowledged)
            try await transport.broker.settled()
            #expect(exact.payloads == ["a"])
            #expect(wide.payloads == ["a"])
            #expect(other.payloads.isEmpty)
        }
    }

    @Test("A retried delivery is redelivered after its delay, as the next attempt, to its own queue only")
    func retry() async throws {
        let clock = ManualClock()
        let transport = InMemoryTransport(broker: InMemoryBroker(clock: clock))
        let sink = RecordingSink()
        let other = RecordingSink()
        try await running(transport) {
            let consumer = try await transport.attach(.sample(), to: sink)
            let otherConsumer = try await transport.attach(.sample("mail"), to: other)
            try await transport.publish(.sample("a"))
            try await otherConsumer.settle(await other.delivery(0), as: .acknowledged)
            try await consumer.settle(await sink.delivery(0), as: .retried(after: .seconds(30), .sample))
            #expect(transport.broker.queues[0].delayed == 1)
            try await clock.sleepers(atLeast: 1)
            clock.advance(by: .seconds(29))
            #expect(sink.deliveries.count == 1)
            clock.advance(by: .seconds(1))
            let again = await sink.delivery(1)
            #expect(again.attempt == 2)
            #expect(again.redeliveries == 0)
            try await consumer.settle(again, as: .deadLettered(.sample))
            let dead = try await transport.deadLetters(of: "stock").entries(limit: 10)
            #expect(dead.map(\.attempts) == [2])
            #expect(other.deliveries.count == 1)
        }
    }
}

import EventBus
import EventBusInMemory
import EventBusTesting
import Testing

@Suite("Blank correlation ids", .timeLimit(.minutes(1)))
struct BlankCorrelationTests {
    @Test("A blank id means none, in options and envelopes", arguments: ["", " ", "\t \n"])
    func none(text: String) throws {
        let bus = EventBus(transport: .inMemory())
        var options = PublishOptions(correlationID: CorrelationID(text))
        #expect(options.correlationID == nil)
        options.correlationID = "c"
        options.correlationID = CorrelationID(text)
        #expect(options.correlationID == nil)
        let made = try bus.envelope(for: OrderCreated(orderID: "1"), options: options)
        #expect(made.correlationID == CorrelationID(made.id))

        var envelope = Envelope(
            topic: "a",
            payload: [],
            correlationID: CorrelationID(text),
            causationID: EventID(text)
        )
        #expect(envelope.correlationID == nil && envelope.causationID == nil)
        envelope.correlationID = CorrelationID(text)
        envelope.causationID = EventID(text)
        #expect(envelope.correlationID == nil && envelope.causationID == nil)
        envelope.correlationID = " c "
        #expect(envelope.correlationID == " c ")
    }

    @Test("Events with a blank id start their own chains, in handlers too")
    func chains() async throws {
        let broker = InMemoryBroker()
        let bus = EventBus(transport: .inMemory(broker))
        let chains = Locked<[CorrelationID]>([])
        bus.subscribe(to: OrderCreated.self, group: "g") { order, context in
            chains.withLock { $0.append(context.correlationID) }
            try await bus.publish(OrderConfirmed(orderID: order.orderID), options: .init(correlationID: ""))
        }
        let effects = Locked<[CorrelationID]>([])
        bus.subscribe(to: OrderConfirmed.self, group: "g") { _, context in
            effects.withLock { $0.append(context.correlationID) }
        }
        try await bus.withRunning {
            try await bus.publish(OrderCreated(orderID: "1"), options: .init(id: "e-1", correlationID: ""))
            var envelope = try bus.envelope(for: OrderCreated(orderID: "2"), options: .init(id: "e-2"))
            envelope.correlationID = "  "
            try await bus.publish(envelope)
            try await broker.settled()
        }
        #expect(Set(chains.withLock { $0 }) == ["e-1", "e-2"])
        #expect(Set(effects.withLock { $0 }) == ["e-1", "e-2"])
    }
}

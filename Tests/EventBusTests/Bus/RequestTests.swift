import EventBus
import EventBusInMemory
import EventBusTesting
import Testing

@Suite("Requests", .timeLimit(.minutes(1)))
struct RequestTests {
    @Test("A request gets its reply, in the same chain of causes")
    func reply() async throws {
        let bus = EventBus(transport: .inMemory)
        let chain = Locked<[CorrelationID]>([])
        bus.respond(to: GetQuote.self, group: "pricing") { request, context in
            chain.withLock { $0.append(context.correlationID) }
            return GetQuote.Reply(price: request.sku.count)
        }
        try await bus.withRunning {
            let quote = try await bus.request(
                GetQuote(sku: "abc"),
                timeout: .seconds(5),
                options: .init(correlationID: "checkout-1")
            )
            #expect(quote == GetQuote.Reply(price: 3))
            #expect(chain.withLock { $0 } == ["checkout-1"])
        }
    }

    @Test("A responder's error causes neither a retry nor a dead letter")
    func failure() async throws {
        let broker = InMemoryBroker()
        let bus = EventBus(transport: .inMemory(broker))
        let calls = Locked(0)
        let options = SubscriptionOptions(repliesWithErrorText: true)
        bus.respond(to: GetQuote.self, group: "pricing", options: options) { _, _ in
            calls.withLock { $0 += 1 }
            throw Broken()
        }
        try await bus.withRunning {
            let error = await #expect(throws: EventBusError.self) {
                try await bus.request(GetQuote(sku: "abc"), timeout: .seconds(5))
            }
            #expect(error?.code == .remoteFailure)
            #expect(error?.message.contains("broken") == true)
            try await broker.settled()
            #expect(calls.withLock { $0 } == 1)
            #expect(try await bus.deadLetters(of: "pricing").count() == 0)
        }
    }
}

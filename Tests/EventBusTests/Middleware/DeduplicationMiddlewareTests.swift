import EventBus
import EventBusInMemory
import EventBusTesting
import Testing

@Suite("Deduplication", .timeLimit(.minutes(1)))
struct DeduplicationMiddlewareTests {
    @Test("A duplicate of an event that another consumer handles is checked soon, not when the claim expires")
    func recheck() async throws {
        let clock = ManualClock()
        let broker = InMemoryBroker(clock: clock)
        let inbox = InMemoryInbox(clock: clock)
        let bus = EventBus(transport: .inMemory(broker))
        let (suppressed, continuation) = AsyncStream.makeStream(of: EventID.self)
        let options = InboxOptions(recheckInterval: .seconds(2))
        let deduplication = DeduplicationMiddleware(inbox: inbox, options: options) { key in
            continuation.yield(key.eventID)
        }
        bus.subscribe(
            to: OrderCreated.self,
            group: "billing",
            name: "orders",
            options: SubscriptionOptions(middleware: [deduplication])
        ) { _, _ in Issue.record("the event is another consumer's") }
        let key = InboxKey(topic: OrderCreated.topic, eventID: "1", subscription: "billing.orders")
        let decision = try await inbox.begin(key, lease: .seconds(300))
        guard case .new(let claim) = decision else {
            Issue.record("a new event was not claimed: \(decision)")
            return
        }
        try await bus.withRunning {
            try await bus.publish(OrderCreated(orderID: "1"), options: PublishOptions(id: "1"))
            while broker.queues.first?.delayed != 1 { await Task.yield() }
            try await inbox.complete(claim, retention: .seconds(300))
            try await broker.settled()
        }
        continuation.finish()
        #expect(clock.now.offset == .seconds(2))
        #expect(await suppressed.reduce(into: []) { $0.append($1) } == ["1"])
    }
}

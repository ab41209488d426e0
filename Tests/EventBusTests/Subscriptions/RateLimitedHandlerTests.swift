import EventBus
import EventBusInMemory
import EventBusTesting
import Testing

@Suite("Rate limits in handlers", .timeLimit(.minutes(1)))
struct RateLimitedHandlerTests {
    @Test(
        "An event that gets no permit in time is postponed until there is one, and uses up no attempt",
        arguments: DeferralTests.Way.all
    )
    func postponed(way: DeferralTests.Way) async throws {
        let clock = ManualClock()
        let broker = InMemoryBroker(clock: clock)
        let limiter = InMemoryRateLimiter(clock: clock)
        let limit = RateLimit(1, per: .seconds(60))
        let bus = EventBus(transport: .inMemory(broker))
        let handled = Locked<[Duration]>([])
        let attempts = Locked<Set<Int>>([])
        var options = SubscriptionOptions(ordering: way.ordering, broadcast: way.broadcast)
        options.retry = .never
        bus.subscribe(to: OrderCreated.self, group: "g", options: options) { _, context in
            attempts.withLock { _ = $0.insert(context.attempt) }
            try await limiter.wait(for: "mail", limit: limit, atMost: .seconds(5))
            handled.withLock { $0.append(clock.now.offset) }
        }
        try await bus.withRunning {
            for number in 0..<5 { try await bus.publish(OrderCreated(orderID: "\(number)")) }
            try await broker.settled()
            #expect(try await bus.deadLetters(of: "g").count() == 0)
        }
        let times = handled.withLock { $0 }
        #expect(times.count == 5)
        #expect(zip(times, times.dropFirst()).allSatisfy { $1 - $0 >= .seconds(60) })
        #expect(attempts.withLock { $0 } == [1])
    }
}

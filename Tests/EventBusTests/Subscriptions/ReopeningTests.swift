import EventBus
import EventBusInMemory
import EventBusTesting
import Testing

@Suite("Reopening of a by-key subscription's channel", .timeLimit(.minutes(1)))
struct ReopeningTests {
    @Test("Nothing starts before the broker has returned what waited too long, although it takes its time")
    func slowReopening() async throws {
        let clock = ManualClock()
        let broker = InMemoryBroker(clock: clock)
        let (reopens, mayReopen) = (Signal(), Signal())
        var transport = ForwardingTransport(to: .inMemory(broker))
        transport.onAttach = { base, queue, sink in
            var consumer = ForwardingConsumer(to: try await base.attach(queue, to: sink))
            consumer.onReopen = { consumer in
                reopens.raise()
                try? await mayReopen.wait()
                await consumer.reopen()
            }
            return consumer
        }
        let bus = EventBus(transport: transport)
        let (began, proceed) = (Signal(), Signal())
        let handled = Collected<Int>()
        let options = SubscriptionOptions(
            concurrency: 1,
            retry: .never,
            handlerTimeout: nil,
            ordering: .byPartitionKey,
            maximumHold: .seconds(100)
        )
        let subscription = bus.subscribe(to: OrderCreated.self, group: "g", options: options) { _, context in
            began.raise()
            try await proceed.wait()
            handled.add(context.attempt)
        }
        try await bus.withRunning {
            for _ in 0..<2 { try await bus.publish(OrderCreated(orderID: "a")) }
            try await began.wait()
            try await eventually("the second event waits") { subscription.health.details["waiting"] == 1 }
            clock.advance(by: .seconds(101))
            proceed.raise()
            try await reopens.wait()
            // Longer than any time after which a bus goes on without an answer of its broker.
            for _ in 0..<1000 {
                clock.advance(by: .milliseconds(100))
                await Task.yield()
            }
            #expect(handled.all == [1])
            mayReopen.raise()
            try await broker.settled()
            #expect(handled.all == [1, 1])
        }
    }
}

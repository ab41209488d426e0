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

    @Test("A batch that is being collected is handled before its time, because nothing can join it")
    func collectedBatch() async throws {
        let clock = ManualClock()
        let broker = InMemoryBroker(configuration: .init(consumerTimeout: nil), clock: clock)
        let bus = EventBus(transport: .inMemory(broker))
        let batches = Collected<[String]>()
        let proceed = Signal()
        let options = SubscriptionOptions(retry: .never, ordering: .byPartitionKey, maximumHold: .seconds(100))
        let subscription = bus.subscribe(
            toBatchesOf: OrderCreated.self,
            group: "g",
            maximumCount: 2,
            within: .seconds(600),
            concurrency: 2,
            options: options
        ) { batch in
            batches.add(batch.map(\.event.orderID))
            try await proceed.wait()
        }
        try await bus.withRunning {
            try await subscription.attached()
            for key in ["a", "b"] { try await bus.publish(OrderCreated(orderID: key)) }
            try await eventually("the first batch runs") { batches.all.count == 1 }
            try await bus.publish(OrderCreated(orderID: "a"))
            try await eventually("the second event of the key waits") { subscription.health.details["waiting"] == 1 }
            clock.advance(by: .seconds(101))
            try await bus.publish(OrderCreated(orderID: "c"))
            try await eventually("the second batch is collected") { subscription.health.details["running"] == 3 }
            proceed.raise()
            try await eventually("the second batch runs") { batches.all.contains(["c"]) }
            #expect(clock.now.offset == .seconds(101))
            try await broker.settled()
            #expect(Set(batches.all.dropFirst()) == [["c"], ["a"]])
        }
    }
}

import EventBus
import EventBusTesting
import Testing

@testable import EventBusInMemory

@Suite("In-memory transport: connection", .timeLimit(.minutes(1)))
struct InMemoryConnectionTests {
    @Test("Attaching waits for run(), and ends with cancellation")
    func attachWaits() async throws {
        let transport = InMemoryTransport()
        let given = Task { try await transport.attach(.sample("given-up"), to: RecordingSink()) }
        await transport.broker.waitForAttaching(1)
        given.cancel()
        await #expect(throws: CancellationError.self) { _ = try await given.value }

        let sink = RecordingSink()
        let attaching = Task { try await transport.attach(.sample(), to: sink) }
        await transport.broker.waitForAttaching(1)
        #expect(transport.broker.queues.isEmpty)
        try await running(transport) {
            _ = try await attaching.value
            try await transport.publish(.sample("a"))
            #expect(await sink.delivery(0).text == "a")
        }
    }

    @Test("When run() is cancelled it returns, unsettled deliveries are back in their queues, and settling them throws")
    func runEnds() async throws {
        let transport = InMemoryTransport()
        let sink = RecordingSink()
        let consumer = Locked<(any TransportConsumer)?>(nil)
        try await running(transport) {
            let attached = try await transport.attach(.sample(prefetch: 1), to: sink)
            consumer.withLock { $0 = attached }
            try await transport.publish(.sample("a"))
            try await transport.publish(.sample("b"))
            #expect(transport.health().allSatisfy { $0.status == .ready })
        }
        #expect(transport.broker.queues.map(\.ready) == [2])
        #expect(transport.broker.queues.map(\.unsettled) == [0])
        #expect(transport.broker.queues.map(\.consumers) == [0])
        #expect(transport.health().allSatisfy { $0.status == .notReady })
        let held = await sink.delivery(0)
        #expect(sink.revocations == [held.token.generation])
        let former = try #require(consumer.withLock { $0 })
        let error = await #expect(throws: EventBusError.self) { try await former.settle(held, as: .acknowledged) }
        #expect(error?.code == .staleDelivery)

        let again = RecordingSink()
        try await running(transport) {
            let consumer = try await transport.attach(.sample(), to: again)
            #expect(await again.delivery(1).text == "b")
            #expect(again.payloads == ["a", "b"])
            #expect(again.deliveries.map(\.redeliveries) == [0, 0])
            for delivery in again.deliveries { try await consumer.settle(delivery, as: .acknowledged) }
        }
    }

    @Test("A second run() of one transport is an error")
    func runsTwice() async throws {
        let transport = InMemoryTransport()
        try await running(transport) {
            _ = try await transport.attach(.sample(), to: RecordingSink())
            let error = await #expect(throws: EventBusError.self) { try await transport.run() }
            #expect(error?.code == .alreadyRunning)
        }
    }

    @Test("A lost connection revokes deliveries, attaches again automatically and increases the generation")
    func loss() async throws {
        let transport = InMemoryTransport()
        let sink = RecordingSink()
        try await running(transport) {
            let consumer = try await transport.attach(.sample(), to: sink)
            try await transport.publish(.sample("a"))
            let stale = await sink.delivery(0)
            transport.loseConnection()
            let fresh = await sink.delivery(1)
            #expect(sink.revocations == [stale.token.generation])
            #expect(fresh.redeliveries == 1)
            let error = await #expect(throws: EventBusError.self) {
                try await consumer.settle(stale, as: .acknowledged)
            }
            #expect(error?.code == .staleDelivery)
            #expect(transport.broker.queues.map(\.unsettled) == [1])
            try await consumer.settle(fresh, as: .acknowledged)
            try await transport.broker.settled()
        }
    }

    @Test("Instances on one broker share the work, and one takes over from another")
    func fleet() async throws {
        let broker = InMemoryBroker()
        let (one, two) = (InMemoryTransport.inMemory(broker), InMemoryTransport.inMemory(broker))
        let (first, second) = (RecordingSink(), RecordingSink())
        try await running(one, two) {
            let leaving = try await one.attach(.sample(), to: first)
            let staying = try await two.attach(.sample(), to: second)
            for text in ["a", "b"] { try await one.publish(.sample(text)) }
            #expect(await first.delivery(0).text == "a")
            #expect(await second.delivery(0).text == "b")
            await leaving.close()
            #expect(await second.delivery(1).text == "a")
            for delivery in second.deliveries { try await staying.settle(delivery, as: .acknowledged) }
            try await broker.settled()
        }
    }

    @Test("Nothing reaches a sink after stop() or close() has returned")
    func nothingAfterStop() async throws {
        for round in 0..<200 {
            let transport = InMemoryTransport()
            let sink = RecordingSink()
            try await running(transport) {
                let consumer = try await transport.attach(.sample(prefetch: 1000), to: sink)
                try await withThrowingTaskGroup(of: Void.self) { group in
                    group.addTask { for _ in 0..<20 { try await transport.publish(.sample("x")) } }
                    _ = await sink.delivery(0)
                    if round.isMultiple(of: 2) { await consumer.stop() } else { await consumer.close() }
                    let count = sink.deliveries.count
                    try await group.waitForAll()
                    #expect(sink.deliveries.count == count)
                }
            }
        }
    }

    @Test("The slot of a released transport is reused, and its tokens stay stale")
    func released() {
        let broker = InMemoryBroker()
        do { _ = InMemoryTransport(broker: broker) }
        let generation = broker.look { $0.connections[0].generation }
        _ = InMemoryTransport(broker: broker)
        #expect(broker.look { $0.connections.count } == 1)
        #expect(generation > 0)
    }
}

extension InMemoryBroker {
    /// Waits until `count` calls of `attach` wait for the first transport to run.
    func waitForAttaching(_ count: Int) async {
        while look({ $0.connections[0].waitingForRun.count != count }) { await Task.yield() }
    }
}

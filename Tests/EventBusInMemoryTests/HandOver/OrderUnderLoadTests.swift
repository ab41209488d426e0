import EventBus
import Testing

@testable import EventBusInMemory

@Suite("Hand-over under load", .timeLimit(.minutes(2)))
struct OrderUnderLoadTests {
    @Test("Deliveries reach a sink one at a time and in the order of the queue, on any thread")
    func order() async throws {
        let count = 20_000
        let transport = InMemoryTransport()
        let broker = transport.broker
        let inside = Locked(false)
        let overlaps = Locked(0)
        let (stream, continuation) = AsyncStream<Delivery>.makeStream()
        let sink = RecordingSink { delivery in
            let wasInside = inside.withLock { value in
                defer { value = true }
                return value
            }
            if wasInside { overlaps.withLock { $0 += 1 } }
            continuation.yield(delivery)
            inside.withLock { $0 = false }
        }
        try await running(transport) {
            let specification = QueueSpecification.sample(prefetch: 64, singleActiveConsumer: true)
            let consumer = try await transport.attach(specification, to: sink)
            try await withThrowingTaskGroup(of: Void.self) { group in
                for _ in 0..<4 {
                    group.addTask {
                        for _ in 0..<(count / 4) { try await transport.publish(.sample("x")) }
                    }
                }
                for _ in 0..<3 {
                    group.addTask {
                        for await delivery in stream { try await consumer.settle(delivery, as: .acknowledged) }
                    }
                }
                group.addTask {
                    while sink.deliveries.count < count { await Task.yield() }
                    continuation.finish()
                }
                try await group.waitForAll()
            }
            try await broker.settled()
        }
        let numbers = sink.deliveries.map(\.token.number).map { $0 >> ConsumerState.slotBits }
        #expect(numbers.count == count)
        #expect(numbers == numbers.sorted())
        #expect(overlaps.withLock { $0 } == 0)
    }

    @Test("A hundred thousand events are handled and leave nothing behind")
    func smoke() async throws {
        let count = 100_000
        let transport = InMemoryTransport()
        let worker = Worker()
        try await worker.run(on: transport, .sample(prefetch: 256)) {
            let options = TransportPublishOptions(deadline: transport.clock.now.advanced(by: .seconds(60)))
            let envelopes = Array(repeating: Envelope.sample("x"), count: count)
            let results = await transport.publish(contentsOf: envelopes, options: options)
            #expect(results.allSatisfy { (try? $0.get()) == .routed })
            try await transport.broker.settled()
        }
        #expect(worker.handled.withLock { $0.count } == count)
    }
}

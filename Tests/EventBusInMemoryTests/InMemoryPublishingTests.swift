import EventBus
import EventBusTesting
import Testing

@testable import EventBusInMemory

@Suite("In-memory transport: publishing", .timeLimit(.minutes(1)))
struct InMemoryPublishingTests {
    @Test("A publish to a full queue waits for room")
    func waitsForRoom() async throws {
        let transport = InMemoryTransport(broker: InMemoryBroker(configuration: .init(maximumQueueLength: 1)))
        let sink = RecordingSink()
        try await running(transport) {
            let consumer = try await transport.attach(.sample(prefetch: 1), to: sink)
            let options = TransportPublishOptions(deadline: transport.clock.now.advanced(by: .seconds(60)))
            async let results = transport.publish(
                contentsOf: ["a", "b", "c", "d"].map { .sample($0) },
                options: options
            )
            for index in 0..<4 { try await consumer.settle(await sink.delivery(index), as: .acknowledged) }
            #expect(await results.map { try? $0.get() } == [.routed, .routed, .routed, .routed])
            #expect(sink.payloads == ["a", "b", "c", "d"])
        }
    }

    @Test("A publish to a full queue throws at its deadline and is not sent later")
    func blocked() async throws {
        let clock = ManualClock()
        let broker = InMemoryBroker(configuration: .init(maximumQueueLength: 1), clock: clock)
        let transport = InMemoryTransport(broker: broker)
        let sink = RecordingSink()
        try await running(transport) {
            let consumer = try await transport.attach(.sample(prefetch: 1), to: sink)
            try await transport.publish(.sample("a"))
            try await transport.publish(.sample("b"))
            let waiting = Task {
                let deadline = transport.clock.now.advanced(by: .seconds(5))
                return try await transport.publish(.sample("c"), options: TransportPublishOptions(deadline: deadline))
            }
            try await clock.sleepers(atLeast: 1)
            clock.advance(by: .seconds(5))
            let error = await #expect(throws: EventBusError.self) { _ = try await waiting.value }
            #expect(error?.code == .blocked)
            #expect(error?.message.contains("stock.orders") == true)
            for index in 0..<2 { try await consumer.settle(await sink.delivery(index), as: .acknowledged) }
            try await broker.settled()
            #expect(sink.payloads == ["a", "b"])
        }
    }

    @Test("A cancelled publish is not sent")
    func cancelled() async throws {
        let broker = InMemoryBroker(configuration: .init(maximumQueueLength: 1))
        let transport = InMemoryTransport(broker: broker)
        let sink = RecordingSink()
        try await running(transport) {
            let consumer = try await transport.attach(.sample(prefetch: 1), to: sink)
            try await transport.publish(.sample("a"))
            try await transport.publish(.sample("b"))
            let waiting = Task { try await transport.publish(.sample("c")) }
            while broker.look({ $0.blockedPublishes.isEmpty }) { await Task.yield() }
            waiting.cancel()
            await #expect(throws: CancellationError.self) { _ = try await waiting.value }
            for index in 0..<2 { try await consumer.settle(await sink.delivery(index), as: .acknowledged) }
            try await broker.settled()
            #expect(sink.payloads == ["a", "b"])
        }
    }

    @Test("A scheduled event is held until it is due, even while an earlier one is waited for")
    func scheduled() async throws {
        let clock = ManualClock()
        let transport = InMemoryTransport(broker: InMemoryBroker(clock: clock))
        let sink = RecordingSink()
        try await running(transport) {
            _ = try await transport.attach(.sample(), to: sink)
            #expect(try await transport.publish(.sample("late"), delay: .seconds(10)) == .scheduled)
            try await clock.sleepers(atLeast: 1)
            #expect(try await transport.publish(.sample("soon"), delay: .seconds(5)) == .scheduled)
            // The waiting task for the later one has to wait again. Only then is it safe to advance the time.
            try await clock.sleeper(dueBy: ManualClock.Instant(offset: .seconds(5)))
            clock.advance(by: .seconds(5))
            #expect(await sink.delivery(0).text == "soon")
            #expect(sink.deliveries.count == 1)
            try await clock.sleeper(dueBy: ManualClock.Instant(offset: .seconds(10)))
            clock.advance(by: .seconds(5))
            #expect(await sink.delivery(1).text == "late")
        }
    }

    @Test("A request gets its first reply only")
    func request() async throws {
        let transport = InMemoryTransport()
        let sink = RecordingSink()
        try await running(transport) {
            let consumer = try await transport.attach(.sample(), to: sink)
            async let reply = transport.request(.sample("q"), deadline: transport.clock.now.advanced(by: .seconds(60)))
            let delivery = await sink.delivery(0)
            let address = try #require(delivery.replyAddress)
            try await transport.reply(.sample("first"), to: address)
            try await transport.reply(.sample("second"), to: address)
            try await consumer.settle(delivery, as: .acknowledged)
            #expect(try await reply.payload == Array("first".utf8))
            #expect(transport.broker.look { $0.pendingRequests.isEmpty })
        }
    }

    @Test("A request without a reply times out on the broker's clock, and a late reply is dropped")
    func requestTimesOut() async throws {
        let clock = ManualClock()
        let transport = InMemoryTransport(broker: InMemoryBroker(clock: clock))
        let sink = RecordingSink()
        try await running(transport) {
            _ = try await transport.attach(.sample(), to: sink)
            let deadline = transport.clock.now.advanced(by: .seconds(2))
            let asking = Task { try await transport.request(.sample("q"), deadline: deadline) }
            try await clock.sleepers(atLeast: 1)
            clock.advance(by: .seconds(2))
            let error = await #expect(throws: EventBusError.self) { _ = try await asking.value }
            #expect(error?.code == .timedOut)
            let address = try #require(await sink.delivery(0).replyAddress)
            try await transport.reply(.sample("late"), to: address)
            #expect(transport.broker.look { $0.pendingRequests.isEmpty })
        }
    }

    @Test("A request without a responder is unroutable immediately")
    func requestUnroutable() async throws {
        let transport = InMemoryTransport()
        let error = await #expect(throws: EventBusError.self) {
            _ = try await transport.request(.sample("q"), deadline: transport.clock.now.advanced(by: .seconds(60)))
        }
        #expect(error?.code == .unroutable)
        #expect(transport.broker.look { $0.pendingRequests.isEmpty })
    }
}

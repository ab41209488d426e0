import EventBus
import EventBusTesting
import Testing

@testable import EventBusInMemory

@Suite("In-memory broker: the behavior of RabbitMQ", .timeLimit(.minutes(1)))
struct InMemoryLimitTests {
    @Test("A delayed event without a subscription is kept until it is replayed to a new one")
    func unroutableDelay() async throws {
        let clock = ManualClock()
        let broker = InMemoryBroker(clock: clock)
        let transport = InMemoryTransport(broker: broker)
        let worker = Worker()
        try await running(transport) {
            #expect(try await transport.publish(.sample("late"), delay: .seconds(60)) == .scheduled)
            try await broker.settled()
            #expect(clock.now.offset == .seconds(60))
            #expect(try await transport.unroutableDelays.count() == 1)
            #expect(transport.health().first?.details["unroutable_delays"] == 1)
            let error = await #expect(throws: EventBusError.self) {
                _ = try await transport.unroutableDelays.replayAll()
            }
            #expect(error?.code == .unroutable)
            #expect(error?.message.contains("order.created") == true)
            #expect(try await transport.unroutableDelays.count() == 1)
        }
        try await worker.run(on: transport, .sample()) {
            #expect(try await transport.unroutableDelays.replayAll() == 1)
            try await broker.settled()
            #expect(worker.handled.withLock { $0 } == ["late1"])
            #expect(try await transport.unroutableDelays.count() == 0)
        }
    }

    @Test("If a full queue refuses a publish, the queues with room receive the event")
    func rejectPublish() async throws {
        let broker = InMemoryBroker(
            configuration: .init(maximumQueueLength: 1, overflow: .rejectPublish),
            clock: ManualClock()
        )
        let transport = InMemoryTransport(broker: broker)
        try await Worker().run(on: transport, .sample("full")) {}
        try await transport.publish(.sample("first"))
        try await Worker().run(on: transport, .sample("free")) {}
        let error = await #expect(throws: EventBusError.self) { try await transport.publish(.sample("second")) }
        #expect(error?.code == .rejected)
        #expect(error?.message.contains("full.orders") == true)
        #expect(error?.message.contains("other queues may hold it") == true)
        #expect(broker.queues.map(\.ready) == [1, 1])
        let results = await transport.publish(
            contentsOf: [.sample("third"), .sample("fourth")],
            options: .init(deadline: broker.clock.now)
        )
        for result in results {
            let error = #expect(throws: EventBusError.self) { try result.get() }
            #expect(error?.code == .rejected)
        }
    }

    @Test("A delivery that stays unsettled for the consumer timeout is redelivered with all others of its consumer")
    func consumerTimeout() async throws {
        let clock = ManualClock()
        let broker = InMemoryBroker(clock: clock)
        let transport = InMemoryTransport(broker: broker)
        let sink = RecordingSink()
        let other = RecordingSink()
        try await running(transport) {
            let consumer = try await transport.attach(.sample(), to: sink)
            let neighbour = try await transport.attach(.sample("neighbour"), to: other)
            try await transport.publish(.sample("a"))
            clock.advance(by: .seconds(600))
            try await transport.publish(.sample("b"))
            let (first, second) = (await sink.delivery(0), await sink.delivery(1))
            try await neighbour.settle(await other.delivery(0), as: .acknowledged)
            let beside = await other.delivery(1)
            clock.advance(by: .seconds(1199))
            #expect(broker.queues.map(\.unsettled) == [2, 1])
            clock.advance(by: .seconds(1))
            // Both again and in order, because the channel is closed whatever the age of the second one.
            let again = [await sink.delivery(2), await sink.delivery(3)]
            #expect(again.map(\.text) == ["a", "b"])
            #expect(again.map(\.redeliveries) == [1, 1])
            for stale in [first, second] {
                let error = await #expect(throws: EventBusError.self) {
                    try await consumer.settle(stale, as: .acknowledged)
                }
                #expect(error?.code == .staleDelivery)
            }
            for delivery in again { try await consumer.settle(delivery, as: .acknowledged) }
            // The other consumer of the connection has lost nothing.
            try await neighbour.settle(beside, as: .acknowledged)
            #expect(broker.queues.map(\.unsettled) == [0, 0])
        }
    }

    @Test("A broadcast's delivery that stays unsettled for the consumer timeout is redelivered without a limit")
    func consumerTimeoutOfBroadcast() async throws {
        let clock = ManualClock()
        let broker = InMemoryBroker(configuration: .init(deliveryLimit: 1), clock: clock)
        let transport = InMemoryTransport(broker: broker)
        let sink = RecordingSink()
        try await running(transport) {
            let consumer = try await transport.attach(.sample(prefetch: 1, broadcast: true), to: sink)
            try await transport.publish(.sample("a"))
            try await transport.publish(.sample("b"))
            for number in 0..<3 {
                #expect(await sink.delivery(number).text == "a")
                clock.advance(by: .seconds(1800))
            }
            try await consumer.settle(await sink.delivery(3), as: .acknowledged)
            #expect(await sink.delivery(4).text == "b")
            #expect(await sink.delivery(3).redeliveries == 1)
        }
    }

    @Test("A dead letter that the broker makes carries the time of a manual clock", arguments: [true, false])
    func deadLetterTime(isExpired: Bool) async throws {
        let clock = ManualClock()
        let broker = InMemoryBroker(configuration: .init(deliveryLimit: 0), clock: clock)
        let transport = InMemoryTransport(broker: broker)
        let sink = RecordingSink()
        try await running(transport) {
            let consumer = try await transport.attach(.sample(), to: sink)
            let queue = try #require(broker.queues.first?.name)
            if isExpired {
                await consumer.close()
                let deadline = transport.clock.now.advanced(by: .seconds(1))
                let options = TransportPublishOptions(deadline: deadline, expiration: .seconds(1))
                _ = try await transport.publish(.sample("a"), options: options)
            } else {
                try await transport.publish(.sample("a"))
                _ = await sink.delivery(0)
            }
            clock.advance(by: .seconds(3600))
            if !isExpired { transport.loseConnection() }
            let group = String(queue.prefix { $0 != "." })
            let letters = try await transport.deadLetters(of: group).entries(limit: 1, offset: 0)
            let letter = try #require(letters.first)
            #expect(letter.lastFailure.milliseconds > EventTime.now().milliseconds + 3_000_000)
        }
    }

    @Test("A broker on a real clock takes overdue deliveries back, and without a timeout never does")
    func consumerTimeoutInRealTime() async throws {
        let broker = InMemoryBroker(configuration: .init(consumerTimeout: .milliseconds(30)))
        let transport = InMemoryTransport(broker: broker)
        let sink = RecordingSink()
        try await running(transport) {
            let consumer = try await transport.attach(.sample(), to: sink)
            try await transport.publish(.sample("a"))
            let again = await sink.delivery(1)
            #expect(again.text == "a")
            #expect(again.redeliveries >= 1)
            await consumer.close()
        }
        let clock = ManualClock()
        let patient = InMemoryTransport(
            broker: InMemoryBroker(configuration: .init(consumerTimeout: nil), clock: clock)
        )
        let held = RecordingSink()
        try await running(patient) {
            let consumer = try await patient.attach(.sample(), to: held)
            try await patient.publish(.sample("a"))
            let delivery = await held.delivery(0)
            clock.advance(by: .seconds(1_000_000))
            try await consumer.settle(delivery, as: .acknowledged)
        }
    }

    @Test("An inbox, lock and cache made by a broker share its clock")
    func oneClock() async throws {
        let clock = ManualClock()
        let broker = InMemoryBroker(clock: clock)
        let lock = broker.makeLock()
        let cache = broker.makeCache()
        let grant = try await lock.acquire("r", ttl: .seconds(10), wait: .zero)
        try await cache.set(1, for: "k", options: .init(ttl: .seconds(10), jitter: 0))
        clock.advance(by: .seconds(11))
        await #expect(throws: EventBusError.self) { _ = try await lock.renew(grant) }
        #expect(try await cache.value(for: "k", as: Int.self) { nil } == nil)
        _ = broker.makeInbox()
    }
}

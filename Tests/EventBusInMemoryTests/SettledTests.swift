import EventBus
import EventBusTesting
import Testing

@testable import EventBusInMemory

@Suite("Settled", .timeLimit(.minutes(1)))
struct SettledTests {
    @Test("The result of an attempt is reported before the time advances to the next one")
    func reportsBeforeTime() async throws {
        for _ in 0..<20 {
            let broker = InMemoryBroker(clock: ManualClock())
            let reports = Reports(clock: broker.clock)
            var configuration = EventBusConfiguration()
            configuration.consumeMiddleware = []
            configuration.deliveryObservers = [reports]
            // Its replies to settlements arrive some time after the broker has acted on them.
            var transport = ForwardingTransport(to: .inMemory(broker))
            transport.onAttach = { base, queue, sink in
                var consumer = ForwardingConsumer(to: try await base.attach(queue, to: sink))
                consumer.onSettle = { consumer, delivery, disposition in
                    try await consumer.settle(delivery, as: disposition)
                    for _ in 0..<1_000 { await Task.yield() }
                }
                return consumer
            }
            let bus = EventBus(transport: transport, configuration: configuration)
            bus.subscribe(to: "a", group: "g", options: .init(retry: .fixed(.seconds(1), maximumAttempts: 3))) { _, _ in
                throw Refusal()
            }
            try await bus.withRunning {
                try await bus.publish(Envelope(topic: "a", payload: []))
                try await broker.settled()
            }
            #expect(reports.all.map(\.attempt) == [1, 2, 3])
            #expect(reports.all.map(\.time) == [.zero, .seconds(1), .seconds(2)])
        }
    }

    @Test("A broker without events is settled immediately")
    func empty() async throws {
        try await InMemoryBroker().settled()
    }

    @Test("On a manual clock it advances through retries, scheduled events and their consequences")
    func advances() async throws {
        let clock = ManualClock()
        let transport = InMemoryTransport(broker: InMemoryBroker(clock: clock))
        let worker = Worker { delivery in
            delivery.attempt < 4 ? .retried(after: .seconds(30), .sample) : .acknowledged
        }
        try await worker.run(on: transport, .sample()) {
            try await transport.publish(.sample("a"))
            try await transport.publish(.sample("b"), delay: .seconds(3600))
            try await transport.broker.settled()
            #expect(clock.now.offset == .seconds(3600 + 90))
            #expect(worker.handled.withLock { $0 } == ["a1", "a2", "a3", "a4", "b1", "b2", "b3", "b4"])
        }
    }

    @Test("The time does not advance while a delivery is being handled")
    func waitsForHandlers() async throws {
        let clock = ManualClock()
        let transport = InMemoryTransport(broker: InMemoryBroker(clock: clock))
        let sink = RecordingSink()
        try await running(transport) {
            let consumer = try await transport.attach(.sample(), to: sink)
            try await transport.publish(.sample("a"))
            try await transport.publish(.sample("b"), delay: .seconds(10))
            let first = await sink.delivery(0)
            let settling = Task { try await transport.broker.settled() }
            await transport.broker.waitForSettledWaiter()
            #expect(clock.now.offset == .zero)
            try await consumer.settle(first, as: .acknowledged)
            try await consumer.settle(await sink.delivery(1), as: .acknowledged)
            try await settling.value
            #expect(clock.now.offset == .seconds(10))
        }
    }

    @Test("A delivery that waits for its retry counts as a delay until it is due, and then as work")
    func held() async throws {
        let clock = ManualClock()
        let transport = InMemoryTransport(broker: InMemoryBroker(clock: clock))
        let sink = RecordingSink()
        try await running(transport) {
            let consumer = try await transport.attach(.sample(prefetch: 1, singleActiveConsumer: true), to: sink)
            try await transport.publish(.sample("a"))
            try await transport.publish(.sample("b"))
            let first = await sink.delivery(0)
            let retryAt = transport.clock.now.advanced(by: .seconds(5))
            consumer.holds(first, until: retryAt)
            let settling = Task { try await transport.broker.settled() }
            try await transport.clock.sleep(until: retryAt)
            await transport.broker.waitForSettledWaiter()
            #expect(clock.now.offset == .seconds(5))
            try await consumer.settle(first, as: .acknowledged)
            try await consumer.settle(await sink.delivery(1), as: .acknowledged)
            try await settling.value
        }
    }

    @Test("After the limit it throws an error that names the pending work")
    func limit() async throws {
        let transport = InMemoryTransport()
        try await running(transport) {
            let consumer = try await transport.attach(.sample(), to: RecordingSink())
            await consumer.close()
            try await transport.publish(.sample("a"))
            let error = await #expect(throws: EventBusError.self) {
                try await transport.broker.settled(within: .milliseconds(1))
            }
            #expect(error?.code == .timedOut)
            #expect(error?.message.contains("stock.orders") == true)
            #expect(error?.message.contains("1 ready") == true)
            #expect(error?.message.contains("no consumer") == true)
        }
    }

    @Test("Several may wait, and none keeps the others busy")
    func severalWaiters() async throws {
        let clock = ManualClock()
        let transport = InMemoryTransport(broker: InMemoryBroker(clock: clock))
        let broker = transport.broker
        let sink = RecordingSink()
        try await running(transport) {
            let consumer = try await transport.attach(.sample(), to: sink)
            await consumer.close()
            try await transport.publish(.sample("a"))
            async let first: Void = broker.settled()
            async let second: Void = broker.settled()
            await broker.waitForSettledWaiter(count: 2)
            let steps = broker.look { $0.lastNumber }
            for _ in 0..<100 { await Task.yield() }
            #expect(broker.look { $0.lastNumber } == steps)
            let successor = try await transport.attach(.sample(), to: sink)
            try await successor.settle(await sink.delivery(0), as: .acknowledged)
            try await first
            try await second
        }
    }

    @Test("A cancelled waiter returns promptly")
    func cancelled() async throws {
        let transport = InMemoryTransport()
        try await running(transport) {
            let consumer = try await transport.attach(.sample(), to: RecordingSink())
            await consumer.close()
            try await transport.publish(.sample("a"))
            let settling = Task { try await transport.broker.settled(within: nil) }
            await transport.broker.waitForSettledWaiter()
            settling.cancel()
            await #expect(throws: CancellationError.self) { try await settling.value }
        }
    }
}

extension InMemoryBroker {
    /// Waits until `count` tasks wait in `settled()`.
    func waitForSettledWaiter(count: Int = 1) async {
        while look({ $0.settledWaiters.count < count }) { await Task.yield() }
    }
}

private struct Refusal: Error {}

/// The time of each report of an attempt, by the broker's clock.
private final class Reports: DeliveryObserver {
    private let clock: AnyClock
    private let reports = Locked<[(attempt: Int, time: Duration)]>([])

    init(clock: AnyClock) {
        self.clock = clock
    }

    var all: [(attempt: Int, time: Duration)] { reports.withLock { $0 } }

    func didSettle(_ delivery: SettledDelivery) {
        let time = AnyClock.Instant(offset: .zero).duration(to: clock.now)
        reports.withLock { $0.append((delivery.attempt, time)) }
    }
}

import EventBus
import EventBusInMemory
import EventBusTesting
import Testing

@Suite("Queues of subscriptions between two consumers", .timeLimit(.minutes(1)))
struct KeptQueueTests {
    @Test("A transport is told that a consumer will be followed by another one, and when that one is there or not")
    func calls() async throws {
        let transport = TellingTransport()
        let bus = EventBus(transport: transport)
        let subscription = bus.subscribe(to: "order.created", group: "g", name: "orders") { _, _ in }
        try await bus.withRunning {
            try await subscription.attached()
            await subscription.pause()
            #expect(transport.calls.all == ["attach 1", "keep 1", "stop 1", "close 1"])
            subscription.resume()
            try await subscription.attached()
            try await subscription.changeConcurrency(to: 3)
            try await subscription.attached()
            await subscription.pause()
            await subscription.cancel()
            let calls = Array(transport.calls.all.dropFirst(4))
            let resumed = ["attach 2", "drop 1"]
            let changed = ["keep 2", "stop 2", "close 2", "attach 3", "drop 2"]
            let ended = ["keep 3", "stop 3", "close 3", "drop 3"]
            #expect(calls == resumed + changed + ended)
        }
    }

    @Test("A queue is not kept for a subscription that ends")
    func end() async throws {
        let transport = TellingTransport()
        let bus = EventBus(transport: transport)
        let subscriptions = ["a", "b"].map { bus.subscribe(to: "order.created", group: "g", name: $0) { _, _ in } }
        try await bus.withRunning {
            for subscription in subscriptions { try await subscription.attached() }
            await subscriptions[0].cancel()
        }
        #expect(!transport.calls.all.contains { $0.hasPrefix("keep") })
    }
}

/// A transport in memory that records the calls of consumers.
private struct TellingTransport: Transport {
    let calls = Collected<String>()
    private let transport = InMemoryTransport()

    var name: String { transport.name }
    var clock: AnyClock { transport.clock }

    func run() async throws { try await transport.run() }

    func publish(_ envelope: Envelope, options: TransportPublishOptions) async throws -> PublishOutcome {
        try await transport.publish(envelope, options: options)
    }

    func request(_ envelope: Envelope, deadline: AnyClock.Instant) async throws -> Envelope {
        try await transport.request(envelope, deadline: deadline)
    }

    func reply(_ envelope: Envelope, to address: ReplyAddress) async throws {
        try await transport.reply(envelope, to: address)
    }

    func attach(_ queue: QueueSpecification, to sink: any DeliverySink) async throws -> any TransportConsumer {
        let consumer = try await transport.attach(queue, to: sink)
        let number = calls.all.count { $0.hasPrefix("attach") } + 1
        calls.add("attach \(number)")
        return TellingConsumer(consumer: consumer, number: number, calls: calls)
    }

    func deadLetters(of group: String) -> any DeadLetterQueue { transport.deadLetters(of: group) }

    func health() -> [ComponentHealth] { transport.health() }
}

private struct TellingConsumer: TransportConsumer {
    let consumer: any TransportConsumer
    let number: Int
    let calls: Collected<String>

    func settle(_ delivery: Delivery, as disposition: Disposition) async throws {
        try await consumer.settle(delivery, as: disposition)
    }

    func stop() async {
        calls.add("stop \(number)")
        await consumer.stop()
    }

    func close() async {
        calls.add("close \(number)")
        await consumer.close()
    }

    func suspend() async { await consumer.suspend() }

    func resume(prefetch: Int) async { await consumer.resume(prefetch: prefetch) }

    func keepsQueue(_ isKept: Bool) {
        calls.add("\(isKept ? "keep" : "drop") \(number)")
    }
}

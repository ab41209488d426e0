import EventBus
import EventBusInMemory
import EventBusTesting
import Testing

/// A shutdown ends by its deadline, whatever the transport does.
@Suite(.timeLimit(.minutes(1)))
struct ShutdownDeadlineTests {
    private func bus(_ transport: SilentTransport) -> EventBus {
        var configuration = EventBusConfiguration()
        configuration.shutdownTimeout = .milliseconds(300)
        configuration.cancellationGrace = .milliseconds(100)
        let bus = EventBus(transport: transport, configuration: configuration)
        bus.subscribe(to: "a.b", group: "g", name: "n") { _, _ in }
        return bus
    }

    @Test(arguments: [false, true])
    func `a consumer that never says it has stopped holds up no shutdown`(isCancelled: Bool) async throws {
        let transport = SilentTransport()
        let bus = bus(transport)
        let ended = Signal()
        let running = Task {
            try? await bus.run()
            ended.raise()
        }
        try await eventually("ready") { bus.health().isReady }
        if isCancelled { running.cancel() } else { bus.shutdown() }
        try await eventually("ended", within: .seconds(5)) { ended.isRaised }
        #expect(!transport.release.isRaised, "the bus ended although the transport has not answered")
        transport.release.raise()
    }
}

/// A transport that works in memory, but does not answer when it is asked to stop.
private struct SilentTransport: Transport {
    private struct Consumer: TransportConsumer {
        let consumer: any TransportConsumer
        let release: Signal

        func settle(_ delivery: Delivery, as disposition: Disposition) async throws {
            try await consumer.settle(delivery, as: disposition)
        }

        func holds(_ delivery: Delivery, until instant: AnyClock.Instant) {}

        func stop() async { await wait() }
        func close() async { await wait() }

        /// Waits even if the task is cancelled.
        private func wait() async {
            let release = release
            await Task { try? await release.wait() }.value
        }
    }

    let transport = InMemoryTransport.inMemory
    let release = Signal()

    var name: String { "silent" }
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
        Consumer(consumer: try await transport.attach(queue, to: sink), release: release)
    }

    func deadLetters(of group: String) -> any DeadLetterQueue { transport.deadLetters(of: group) }
    func health() -> [ComponentHealth] { transport.health() }
}

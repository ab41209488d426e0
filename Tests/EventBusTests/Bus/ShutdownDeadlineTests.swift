import EventBus
import EventBusInMemory
import EventBusTesting
import Testing

/// A shutdown ends by its deadline, whatever the transport does.
@Suite(.timeLimit(.minutes(1)))
struct ShutdownDeadlineTests {
    /// Returns a bus whose transport does not answer when it is asked to stop, until `release` is raised.
    private func bus(until release: Signal) -> EventBus {
        // Waits even if the task is cancelled.
        @Sendable func wait() async { await Task { try? await release.wait() }.value }
        var transport = ForwardingTransport(to: .inMemory())
        transport.onAttach = { base, queue, sink in
            var consumer = ForwardingConsumer(to: try await base.attach(queue, to: sink))
            consumer.onStop = { _ in await wait() }
            consumer.onClose = { _ in await wait() }
            return consumer
        }
        var configuration = EventBusConfiguration()
        configuration.shutdownTimeout = .milliseconds(300)
        configuration.cancellationGrace = .milliseconds(100)
        let bus = EventBus(transport: transport, configuration: configuration)
        bus.subscribe(to: "a.b", group: "g", name: "n") { _, _ in }
        return bus
    }

    @Test(arguments: [false, true])
    func `a consumer that never says it has stopped holds up no shutdown`(isCancelled: Bool) async throws {
        let release = Signal()
        let bus = bus(until: release)
        let ended = Signal()
        let running = Task {
            try? await bus.run()
            ended.raise()
        }
        try await eventually("ready") { bus.health().isReady }
        if isCancelled { running.cancel() } else { bus.shutdown() }
        try await eventually("ended", within: .seconds(5)) { ended.isRaised }
        #expect(!release.isRaised, "the bus ended although the transport has not answered")
        release.raise()
    }
}

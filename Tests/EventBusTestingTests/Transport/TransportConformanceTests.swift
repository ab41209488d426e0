import EventBus
import EventBusInMemory
import EventBusTesting
import Testing

/// A conformance suite is useful only if it fails for violations of the contract.
@Suite("Transport: the conformance suite finds contract violations", .timeLimit(.minutes(2)))
struct TransportConformanceTests {
    // Concurrently, because a check that finds a fault mostly waits for something that does not happen.
    @Test("The suite finds a planted fault")
    func planted() async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            for (fault, names) in Self.faults {
                for name in names { group.addTask { try await expectFailure(of: name, with: fault) } }
            }
            try await group.waitForAll()
        }
    }

    private static let faults: [PlantedFault: [String]] = [
        .acknowledgesBeforeHandler: [
            "a failed event is redelivered, as the next attempt, no earlier than its delay",
            "cancelling ends the handler and returns its event, as the same attempt",
        ],
        .dropsOnReconnect: ["unsettled deliveries of a lost connection are redelivered, as the same attempt"],
        .forgetsAttempts: ["an event is dead-lettered with the reason after exactly the configured attempts"],
        .ignoresPrefetch: ["a consumer never holds more than its prefetch"],
        .cancelsBeforeClosing: [
            "a shutdown hands over a backlog by key in order, after its handlers have ended",
            "a cancelled subscription hands over a backlog by key in order, after its handlers have ended",
            "after a handler that outlasts the shutdown, the next instance begins with its event",
        ],
    ]

    private func expectFailure(of name: String, with fault: PlantedFault) async throws {
        let broker = InMemoryBroker()
        let suite = TransportConformance { _ in
            TransportNamespace(
                makeTransport: { ForwardingTransport(to: broker, fault) },
                loseConnections: { broker.loseConnections() }
            )
        }
        let check = try #require(suite.checks.first { $0.name == name })
        await #expect(throws: (any Error).self, "\(name)") { try await check.run() }
    }

    @Test("Every check has a unique name, and only checks of missing features are left out")
    func names() {
        let all = TransportConformance { _ in TransportNamespace(makeTransport: { InMemoryTransport() }) }.checks
        #expect(Set(all.map(\.name)).count == all.count)
        let core = TransportConformance(features: []) { _ in
            TransportNamespace(makeTransport: { InMemoryTransport() })
        }.checks
        #expect(Set(core.map(\.name)).isStrictSubset(of: all.map(\.name)))
    }
}

/// The most likely mistakes of a transport.
enum PlantedFault: Sendable {
    case acknowledgesBeforeHandler
    case dropsOnReconnect
    case forgetsAttempts
    case ignoresPrefetch
    case cancelsBeforeClosing
}

extension ForwardingTransport {
    /// Creates an in-memory transport with one mistake.
    fileprivate init(to broker: InMemoryBroker, _ fault: PlantedFault) {
        self.init(to: .inMemory(broker))
        onAttach = { base, queue, sink in
            var queue = queue
            if fault == .ignoresPrefetch { queue.prefetch = 1_000 }
            let sink = FaultySink(sink: sink, fault: fault)
            var consumer = ForwardingConsumer(to: try await base.attach(queue, to: sink))
            consumer.onSettle = { consumer, delivery, disposition in
                // A delivery that was acknowledged before the handler ran cannot be settled in another way.
                let isDone = fault == .acknowledgesBeforeHandler
                try await consumer.settle(delivery, as: isDone ? .acknowledged : disposition)
            }
            consumer.onClose = { consumer in
                if fault == .cancelsBeforeClosing {
                    await consumer.stop()
                    // As long as the broker's reply may take.
                    try? await Task.sleep(for: .milliseconds(50))
                }
                await consumer.close()
            }
            sink.serve(consumer)
            return consumer
        }
    }
}

private final class FaultySink: DeliverySink {
    private let sink: any DeliverySink
    private let fault: PlantedFault
    private let consumer = Locked<(any TransportConsumer)?>(nil)

    init(sink: any DeliverySink, fault: PlantedFault) {
        self.sink = sink
        self.fault = fault
    }

    func serve(_ consumer: any TransportConsumer) {
        self.consumer.withLock { $0 = consumer }
    }

    func receive(_ delivery: Delivery) {
        switch fault {
        case .forgetsAttempts:
            sink.receive(
                Delivery(
                    envelope: delivery.envelope,
                    attempt: 1,
                    redeliveries: delivery.redeliveries,
                    replyAddress: delivery.replyAddress,
                    token: delivery.token
                )
            )
        case .dropsOnReconnect where delivery.redeliveries > 0:
            let consumer = consumer.withLock { $0 }
            Task { try? await consumer?.settle(delivery, as: .acknowledged) }
        case .acknowledgesBeforeHandler, .dropsOnReconnect, .ignoresPrefetch, .cancelsBeforeClosing:
            sink.receive(delivery)
        }
    }

    func revoke(through generation: UInt64) {
        sink.revoke(through: generation)
    }
}

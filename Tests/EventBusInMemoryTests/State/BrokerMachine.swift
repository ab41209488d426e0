import EventBus

@testable import EventBusInMemory

/// The broker's state machine and its effects, without a lock, thread or clock.
final class BrokerMachine {
    var state: BrokerState
    let connection: Int
    /// The deliveries of each consumer in order, by its slot.
    private(set) var handed: [Int: [Delivery]] = [:]
    private(set) var answers: [Effects.Answer] = []

    init(
        maximumQueueLength: Int = 100,
        deliveryLimit: Int = 20,
        faults: FaultPlan? = nil
    ) {
        let configuration = InMemoryBroker.Configuration(
            maximumQueueLength: maximumQueueLength,
            deliveryLimit: deliveryLimit
        )
        self.state = BrokerState(configuration: configuration, faults: faults.map { FaultInjector(plan: $0) })
        self.connection = state.addConnection()
        step { [connection] state, effects in _ = state.connect(connection, &effects) }
    }

    func step<Result>(_ body: (inout BrokerState, inout Effects) throws -> Result) rethrows -> Result {
        var effects = Effects(clock: AnyClock(ContinuousClock()))
        let result = try body(&state, &effects)
        state.finishStep(&effects)
        let handOvers = (effects.firstHandOver.map { [$0] } ?? []) + effects.furtherHandOvers
        for handOver in handOvers {
            guard case .delivery(let delivery) = handOver.item else { continue }
            let slot = state.consumers.firstIndex { $0.port === handOver.port && !$0.isClosed }
            handed[slot ?? -1, default: []].append(delivery)
        }
        answers += effects.answers
        return result
    }

    func attach(_ specification: QueueSpecification, connection: Int? = nil) throws -> ConsumerReference {
        let port = ConsumerMailbox(sink: RecordingSink())
        let chosen = connection ?? self.connection
        return try step { state, effects in
            try state.attach(specification, port: port, connection: chosen, &effects)
        }
    }

    func addConnection() -> Int {
        let added = state.addConnection()
        step { state, effects in _ = state.connect(added, &effects) }
        return added
    }

    /// Publishes an event with the payload `text`.
    @discardableResult
    func publish(_ text: String, topic: Topic = "order.created", key: String? = nil) -> PublishStep {
        step { state, effects in
            state.publish(.sample(text, topic: topic, key: key), now: { AnyClock.Instant(offset: .zero) }, &effects)
        }
    }

    @discardableResult
    func settle(
        _ delivery: Delivery,
        of consumer: ConsumerReference,
        as disposition: Disposition = .acknowledged,
        retryDue: Duration? = nil
    ) -> Bool {
        step { state, effects in
            state.settle(
                delivery.token,
                of: consumer,
                as: disposition,
                eventID: delivery.envelope.id,
                retryDue: retryDue.map { AnyClock.Instant(offset: $0) },
                time: EventTime(milliseconds: 1000),
                &effects
            )
        }
    }

    func fireTimers(by offset: Duration) {
        step { state, effects in _ = state.fireTimers(by: AnyClock.Instant(offset: offset), &effects) }
    }

    func loseConnection(_ connection: Int? = nil) {
        let lost = connection ?? self.connection
        step { state, effects in
            state.loseConnection(lost, maximumRedeliveries: nil, &effects)
            state.dispatchMarked(&effects)
        }
    }

    func stop(_ consumer: ConsumerReference) {
        step { state, effects in state.stop(consumer, &effects) }
    }

    func reopen(_ consumer: ConsumerReference) {
        step { state, effects in state.reopen(consumer, &effects) }
    }

    func close(_ consumer: ConsumerReference) {
        step { state, effects in state.close(consumer, &effects) }
    }

    func deliveries(_ consumer: ConsumerReference) -> [Delivery] { handed[consumer.slot] ?? [] }
    func texts(_ consumer: ConsumerReference) -> [String] { deliveries(consumer).map(\.text) }

    func deadLetters(_ group: String = "stock") -> [DeadLetter] {
        state.deadLetters[ExactText(group)]?.entries.map(\.deadLetter) ?? []
    }
}

extension Delivery {
    var text: String { String(decoding: envelope.payload, as: UTF8.self) }
}

extension PublishStep {
    var outcome: PublishOutcome? {
        if case .done(let outcome) = self { outcome } else { nil }
    }
}

internal import Synchronization

// Publishing when handled: ``SubscriptionOptions/publishing``.
extension EventBus {
    /// A Boolean value indicating whether a subscription holds what its handler publishes. It is checked first, so that
    /// other buses pay for nothing else.
    var mayHoldPublishes: Bool { holdsPublishes.load(ordering: .relaxed) }

    /// Holds an event until the handler that publishes it has returned, if its subscription publishes then.
    ///
    /// - Returns: The receipt, or `nil` if the event is to be published immediately.
    func hold(
        _ envelope: Envelope,
        options: PublishOptions,
        emit: HeldPublish.Emission? = nil
    ) throws -> PublishReceipt? {
        guard let heldPublishes else { return nil }
        try Task.checkCancellation()
        try envelope.validate()
        let event = HeldPublish(bus: self, envelope: envelope, options: options, emission: emit)
        switch heldPublishes.hold([event]) {
        case .held: return PublishReceipt(id: envelope.id, outcome: .held)
        case .immediate: return nil
        case .discarded: throw CancellationError()
        }
    }

    /// Holds the valid ones of several events, like ``hold(_:options:emit:)``.
    ///
    /// - Returns: One result for each event, or `nil` if they are to be published immediately.
    func hold(
        _ envelopes: [Envelope],
        options: PublishOptions,
        emission: (_ index: Int) -> HeldPublish.Emission? = { _ in nil }
    ) -> [Result<PublishReceipt, any Error>]? {
        guard let heldPublishes else { return nil }
        var events: [HeldPublish] = []
        let results = envelopes.enumerated().map { index, envelope -> Result<PublishReceipt, any Error> in
            Result {
                try envelope.validate()
                events.append(
                    HeldPublish(bus: self, envelope: envelope, options: options, emission: emission(index))
                )
                return PublishReceipt(id: envelope.id, outcome: .held)
            }
        }
        switch heldPublishes.hold(events) {
        case .held: return results
        case .immediate: return nil
        case .discarded: return envelopes.map { _ in .failure(CancellationError()) }
        }
    }

    /// The events that wait for the current task's handler, if it is one of this bus that holds what it publishes.
    private var heldPublishes: HeldPublishes? {
        guard mayHoldPublishes, let current = EventCorrelation.current,
            current.bus == ObjectIdentifier(self)
        else { return nil }
        return current.heldPublishes
    }

    /// Publishes events that a handler has published before it returned, in order.
    ///
    /// - Throws: The first error. Events after it may have been published.
    func publish(_ held: [HeldPublish]) async throws {
        var rest = held[...]
        while let first = rest.first {
            let batch = rest.prefix { $0.isSent(like: first) }
            let results = try await publish(contentsOf: batch.map(\.envelope), options: first.options)
            for case (let event, .success(let receipt)) in zip(batch, results) where receipt.outcome.isImmediate {
                event.emission?(local)
            }
            for result in results { _ = try result.get() }
            rest = rest.dropFirst(batch.count)
        }
    }
}

import EventBus

extension BrokerState {
    /// Takes everything unsettled back from consumers that have not settled a delivery within the consumer timeout.
    ///
    /// - Returns: When to call it again; `nil` while nothing is unsettled.
    mutating func enforceConsumerTimeout(at now: AnyClock.Instant, _ effects: inout Effects) -> AnyClock.Instant? {
        guard let timeout = configuration.consumerTimeout else { return nil }
        // On a manual clock each delivery notes its own time.
        if !notesDeliveryTimes { deliveryAges.note(lastSequence, at: now) }
        if let last = deliveryAges.take(madeBy: now.advanced(by: .zero - timeout)) {
            for slot in consumers.indices where consumers[slot].holdsDelivery(numberedUpTo: last) {
                expire(slot, &effects)
            }
            dispatchMarked(&effects)
        }
        guard unsettledCount > 0 else {
            deliveryAges.removeAll()
            nextTimeoutCheck = nil
            return nil
        }
        nextTimeoutCheck = now.advanced(by: max(timeout / 30, .milliseconds(1)))
        return nextTimeoutCheck
    }

    /// Closes a consumer's channel and opens it again: everything unsettled is delivered again.
    private mutating func expire(_ slot: Int, _ effects: inout Effects) {
        let connection = consumers[slot].connection
        let lost = connections[connection].generation
        // Deliveries of the connection's other consumers keep their tokens and stay valid.
        connections[connection].generation += 1
        effects.handOver(.revocation(through: lost), to: consumers[slot].port)
        takeBackAll(from: slot, vanished: true, maximumRedeliveries: nil)
        reattach(slot, &effects)
    }
}

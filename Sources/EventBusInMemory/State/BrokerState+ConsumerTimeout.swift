import EventBus

extension BrokerState {
    /// Takes all unsettled deliveries back from consumers that have not settled a delivery within the consumer timeout.
    ///
    /// - Returns: The time of the next call, or `nil` if nothing is unsettled.
    mutating func enforceConsumerTimeout(at now: AnyClock.Instant, _ effects: inout Effects) -> AnyClock.Instant? {
        guard let timeout = configuration.consumerTimeout else { return nil }
        // On a manual clock each delivery records its own time.
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

    /// Closes and reopens a consumer's channel, so that everything unsettled is redelivered.
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

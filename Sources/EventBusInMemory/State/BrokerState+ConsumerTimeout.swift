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
                restartChannel(of: slot, vanished: true, &effects)
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
}

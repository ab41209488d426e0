import EventBus

/// A delivery with a consumer that is not merely held for a retry.
struct HandledDelivery: Sendable {
    var queue: String
    var event: EventID
    var topic: Topic
    var attempt: Int
    var token: Delivery.Token
    /// The time since it was made, by the broker's clock, or `nil` if that is unknown.
    var age: Duration?
}

extension BrokerState {
    /// Returns the deliveries that handlers have or will have, oldest first.
    func handledDeliveries(at now: AnyClock.Instant) -> [HandledDelivery] {
        if unsettledCount == 0 { return [] }
        var handled: [HandledDelivery] = []
        // By index, because a consumer's state is large and there may be thousands.
        for slot in consumers.indices where consumers[slot].unsettledCount > 0 {
            let queue = queues[consumers[slot].queue].name
            consumers[slot].forEachHandled(at: now) { delivery in
                let made = deliveryAges.instant(of: delivery.token.number >> ConsumerState.slotBits)
                handled.append(
                    HandledDelivery(
                        queue: queue,
                        event: delivery.envelope.id,
                        topic: delivery.envelope.topic,
                        attempt: delivery.attempt,
                        token: delivery.token,
                        age: made.map { $0.duration(to: now) }
                    )
                )
            }
        }
        return handled.sorted { $0.token.number < $1.token.number }
    }
}

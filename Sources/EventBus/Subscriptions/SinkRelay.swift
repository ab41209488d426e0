/// A sink that passes deliveries on to the queue of a subscription's current session, so that its consumer outlives the
/// sessions.
final class SinkRelay: DeliverySink {
    private let target = Locked<DeliveryQueue?>(nil)

    /// Passes deliveries on to `queue` from now on.
    func connect(to queue: DeliveryQueue) {
        target.withLock { $0 = queue }
    }

    private var queue: DeliveryQueue? { target.withLock { $0 } }

    func receive(_ delivery: Delivery) { queue?.receive(delivery) }
    func receive(contentsOf deliveries: [Delivery]) { queue?.receive(contentsOf: deliveries) }
    func revoke(through generation: UInt64) { queue?.revoke(through: generation) }
}

/// The receiver of a subscription's deliveries from a transport.
///
/// All calls only store: they return immediately and never run a handler, so a transport may make them on its I/O
/// thread. The queue's prefetch limits the number of stored deliveries. Deliveries that arrive after the subscription
/// has ended are dropped: closing its consumer returns them to the queue.
public protocol DeliverySink: Sendable {
    /// Hands over one delivery.
    func receive(_ delivery: Delivery)

    /// Hands over several deliveries in order, so that deliveries that arrived together are stored together.
    func receive(contentsOf deliveries: [Delivery])

    /// Takes back every delivery of `generation` or earlier, because its connection is gone and the broker redelivers
    /// it. Deliveries that no handler has started are dropped, and the handlers of the others are cancelled.
    ///
    /// A transport calls it before it hands over deliveries of a later generation.
    func revoke(through generation: UInt64)
}

extension DeliverySink {
    /// Hands over one delivery after another.
    public func receive(contentsOf deliveries: [Delivery]) {
        for delivery in deliveries { receive(delivery) }
    }
}

/// Where a transport puts what arrived for a subscription.
///
/// All calls only store: they return at once and never run a handler, so a transport may make them on its I/O thread.
/// What is stored is bounded by the queue's prefetch.
public protocol DeliverySink: Sendable {
    /// Hands over one delivery.
    func receive(_ delivery: Delivery)

    /// Hands over several deliveries in their order: what came in one turn is stored at once.
    func receive(contentsOf deliveries: [Delivery])

    /// Takes back every delivery of `generation` or earlier that no handler has begun: its connection is gone, and the
    /// broker delivers it again.
    func revoke(through generation: UInt64)
}

extension DeliverySink {
    /// One after another.
    public func receive(contentsOf deliveries: [Delivery]) {
        for delivery in deliveries { receive(delivery) }
    }
}

/// A sink that can tell when nothing of what it was given is being handled or reported any more.
package protocol QuiescentSink: DeliverySink {
    /// `nil` if nothing is, otherwise a signal that is raised when nothing is.
    func quiescence() -> Signal?
}

/// A subscription's hold on its queue.
public protocol TransportConsumer: Sendable {
    /// Tells the broker what is to become of a delivery.
    ///
    /// For a retry or a dead letter the broker holds the new copy before the old one is let go: a crash between the two
    /// duplicates the event and never loses it. An acknowledgement may still be on its way when the call returns.
    ///
    /// - Throws: ``EventBusError`` with code `.staleDelivery` when the connection that brought it is gone; the broker
    ///   then delivers it again.
    func settle(_ delivery: Delivery, as disposition: Disposition) async throws

    /// Says that a delivery, though held, is waiting for a retry in its key's lane until `instant`, not being handled.
    func holds(_ delivery: Delivery, until instant: AnyClock.Instant)

    /// Stops new deliveries. Those handed over may still be settled.
    ///
    /// It may wait for the broker, as ``close()`` may: a shutdown goes on without it at its deadline.
    func stop() async

    /// Ends the consumer; whatever is not settled goes back to the queue.
    func close() async
}

extension TransportConsumer {
    /// Nothing to note.
    public func holds(_ delivery: Delivery, until instant: AnyClock.Instant) {}
}

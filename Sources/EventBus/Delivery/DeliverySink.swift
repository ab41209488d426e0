/// Where a transport puts what arrived for a subscription.
///
/// All calls only store: they return at once and never run a handler, so a transport may make them on its I/O thread.
/// What is stored is bounded by the queue's prefetch, and what arrives after the subscription has ended is dropped: the
/// close of its consumer gives it back.
public protocol DeliverySink: Sendable {
    /// Hands over one delivery.
    func receive(_ delivery: Delivery)

    /// Hands over several deliveries in their order: what came in one turn is stored at once.
    func receive(contentsOf deliveries: [Delivery])

    /// Takes back every delivery of `generation` or earlier, because its connection is gone and the broker delivers it
    /// again. Those that no handler has begun are dropped; a handler that has begun one is cancelled.
    ///
    /// A transport calls it before it hands over anything of a later generation.
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
///
/// A subscription ends its consumer in one of two ways. Without an order, it calls ``stop()``, hands back what no handler
/// has begun, settles what its handlers end, and calls ``close()``. By key, it calls ``close()`` alone, once its handlers
/// have ended and their deliveries are settled: until then the consumer keeps its place, so that no other consumer of the
/// queue becomes active, and then everything unsettled goes back in one step and in its order.
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

    /// Tells the transport that the subscription is paused, and begins no delivery before `instant`; `nil` when it goes on.
    func pauses(until instant: AnyClock.Instant?)

    /// Stops new deliveries. Those handed over may still be settled.
    ///
    /// Of a queue with a single active consumer, the next consumer becomes active at once and receives what is still in
    /// the queue, although this one has earlier deliveries: who keeps an order calls ``close()`` alone.
    ///
    /// It may wait for the broker, as ``close()`` may: a shutdown goes on without it at its deadline.
    func stop() async

    /// Ends the consumer; whatever is not settled goes back to the queue in its order, before the queue's next consumer
    /// becomes active.
    ///
    /// Settlements that were reported before the call take effect first. Those that come later throw `.staleDelivery`.
    func close() async

    /// Gives everything unsettled back to the queue, in its order, and consumes the queue again: by the same consumer,
    /// or with a single active consumer by the next one.
    ///
    /// The sink sees a revocation, then deliveries of a later generation. A subscription that handles by key calls it
    /// when a delivery has waited so long that the broker's consumer timeout draws near.
    func reopen() async
}

extension TransportConsumer {
    /// Nothing to note.
    public func holds(_ delivery: Delivery, until instant: AnyClock.Instant) {}

    /// Nothing to note.
    public func pauses(until instant: AnyClock.Instant?) {}

    /// Nothing is given back: for transports whose broker lets a consumer keep its deliveries for any time.
    public func reopen() async {}
}

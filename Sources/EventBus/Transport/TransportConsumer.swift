/// A subscription's consumer on its queue.
///
/// A subscription ends its consumer in one of two ways. Without an order, it calls ``stop()``, returns the deliveries
/// that no handler has started, settles the ones that its handlers finish, and calls ``close()``. By key, it calls only
/// ``close()``, after its handlers have ended and their deliveries are settled. Until then the consumer keeps its
/// place, so that no other consumer of the queue becomes active. Then everything unsettled is returned in one step and
/// in order.
public protocol TransportConsumer: Sendable {
    /// Settles a delivery.
    ///
    /// For a retry or a dead letter, the broker has accepted the new copy before the old one is released: a crash in
    /// between duplicates the event but never loses it. An acknowledgement may still be in flight when the call
    /// returns. The copy has the id of the delivery's envelope, which the subscription may have derived
    /// (``SubscriptionOptions/identity``).
    ///
    /// - Throws: ``EventBusError`` with code `.staleDelivery` if the connection of the delivery is gone. The broker
    ///   then redelivers it.
    func settle(_ delivery: Delivery, as disposition: Disposition) async throws

    /// Tells the transport that an unsettled delivery is not being handled, but waits for its retry until `instant`.
    func holds(_ delivery: Delivery, until instant: AnyClock.Instant)

    /// Tells the transport that the subscription is paused and starts no delivery before `instant`, or that it
    /// continues if `instant` is `nil`.
    func pauses(until instant: AnyClock.Instant?)

    /// Stops new deliveries. Deliveries that were handed over may still be settled.
    ///
    /// If the queue has a single active consumer, the next consumer becomes active immediately and receives the
    /// remaining events of the queue, although this one has earlier deliveries. A caller that has to keep the order
    /// calls only ``close()``.
    ///
    /// Like ``close()``, it may wait for the broker. A shutdown proceeds without it at its deadline.
    func stop() async

    /// Ends the consumer. Unsettled deliveries return to the queue in order, before the queue's next consumer becomes
    /// active.
    ///
    /// Settlements that were reported before the call take effect first. Later ones throw `.staleDelivery`.
    func close() async

    /// Tells the transport that the subscription will attach to the queue again after this consumer has ended, for example
    /// after a pause, so that the queue has to collect events meanwhile. With `false`, this is over.
    ///
    /// A subscription calls it before it stops or closes the consumer, and again when the next consumer is attached or the
    /// subscription has ended.
    func keepsQueue(_ isKept: Bool)

    /// Returns all unsettled deliveries to the queue in order, and consumes the queue again. With a single active
    /// consumer, the next consumer of the queue may take over.
    ///
    /// The sink receives a revocation, and then deliveries of a later generation. A subscription that handles by key
    /// calls it when a delivery has waited so long that the broker's consumer timeout is near.
    func reopen() async

    /// Stops new deliveries, and returns all unsettled ones to the queue in order, until ``resume(prefetch:)``. The queue
    /// collects events meanwhile. That includes the queue of a broadcast, which would end with ``close()``.
    ///
    /// The sink receives a revocation. Settlements that were reported before the call take effect first. If the
    /// connection is lost, the queue of a broadcast is replaced by an empty one on the next connection.
    func suspend() async

    /// Consumes the queue again after ``suspend()``, with a possibly different prefetch. Waits until deliveries arrive,
    /// the task is cancelled, or the consumer is closed.
    func resume(prefetch: Int) async
}

extension TransportConsumer {
    /// Does nothing.
    public func holds(_ delivery: Delivery, until instant: AnyClock.Instant) {}

    /// Does nothing.
    public func pauses(until instant: AnyClock.Instant?) {}

    /// Does nothing, for transports whose queues exist for as long as they are needed.
    public func keepsQueue(_ isKept: Bool) {}

    /// Returns nothing to the queue, for transports whose broker has no consumer timeout.
    public func reopen() async {}
}

package import EventBus

/// A consumer that forwards everything to another one, except where a test says otherwise.
package struct ForwardingConsumer: TransportConsumer {
    /// The consumer that does the work.
    package let base: any TransportConsumer
    /// A closure that settles a delivery.
    package var onSettle: @Sendable (any TransportConsumer, Delivery, Disposition) async throws -> Void = {
        try await $0.settle($1, as: $2)
    }
    /// A closure that stops the consumer.
    package var onStop: @Sendable (any TransportConsumer) async -> Void = { await $0.stop() }
    /// A closure that closes the consumer.
    package var onClose: @Sendable (any TransportConsumer) async -> Void = { await $0.close() }
    /// A closure that returns all unsettled deliveries and consumes the queue again.
    package var onReopen: @Sendable (any TransportConsumer) async -> Void = { await $0.reopen() }

    /// Creates a consumer that forwards everything to `base`.
    package init(to base: any TransportConsumer) {
        self.base = base
    }

    package func settle(_ delivery: Delivery, as disposition: Disposition) async throws {
        try await onSettle(base, delivery, disposition)
    }

    package func holds(_ delivery: Delivery, until instant: AnyClock.Instant) { base.holds(delivery, until: instant) }
    package func pauses(until instant: AnyClock.Instant?) { base.pauses(until: instant) }
    package func stop() async { await onStop(base) }
    package func close() async { await onClose(base) }
    package func reopen() async { await onReopen(base) }
    package func suspend() async { await base.suspend() }
    package func resume(prefetch: Int) async { await base.resume(prefetch: prefetch) }
}

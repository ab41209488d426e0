import EventBus

/// A subscription's consumer on its queue in an ``InMemoryBroker``.
final class InMemoryConsumer: TransportConsumer {
    /// Retained, because the connection ends with the transport.
    private let transport: InMemoryTransport
    private let broker: InMemoryBroker
    private let reference: ConsumerReference
    private let port: ConsumerMailbox

    init(transport: InMemoryTransport, reference: ConsumerReference, port: ConsumerMailbox) {
        self.transport = transport
        self.broker = transport.broker
        self.reference = reference
        self.port = port
    }

    func settle(_ delivery: Delivery, as disposition: Disposition) async throws {
        var retryDue: AnyClock.Instant?
        var time: EventTime?
        switch disposition {
        case .acknowledged, .requeued:
            break
        case .retried(let delay, _):
            time = broker.clock.wallTime
            if delay > .zero { retryDue = due(after: delay) }
        case .deferred(let delay, _):
            if delay > .zero { retryDue = due(after: delay) }
        case .deadLettered:
            time = broker.clock.wallTime
        }
        let isSettled = broker.step { state, effects in
            state.settle(
                delivery.token,
                of: reference,
                as: disposition,
                eventID: delivery.envelope.id,
                retryDue: retryDue,
                time: time,
                &effects
            )
        }
        if !isSettled {
            throw EventBusError(
                .staleDelivery,
                "the connection that brought event \(delivery.envelope.id) is gone, or the delivery is settled already"
            )
        }
    }

    /// Returns the time of a redelivery. A delay beyond the broker's limit is shortened to that limit.
    private func due(after delay: Duration) -> AnyClock.Instant {
        broker.clock.now.advanced(by: min(delay, TransportLimits.maximumDelay))
    }

    func holds(_ delivery: Delivery, until instant: AnyClock.Instant) {
        broker.step { state, _ in state.hold(delivery.token, of: reference, until: instant) }
    }

    func pauses(until instant: AnyClock.Instant?) {
        broker.step { state, _ in state.pause(reference, until: instant) }
    }

    func stop() async {
        broker.step { state, effects in state.stop(reference, &effects) }
        // Deliveries that another thread is about to hand over have reached the sink when this returns.
        await port.idle()
    }

    func reopen() async {
        broker.step { state, effects in state.reopen(reference, &effects) }
        await port.idle()
    }

    func suspend() async {
        broker.step { state, effects in state.suspend(reference, &effects) }
        await port.idle()
    }

    func resume(prefetch: Int) async {
        broker.step { state, effects in state.resume(reference, prefetch: prefetch, &effects) }
        await port.idle()
    }

    func close() async {
        broker.step { state, effects in state.close(reference, &effects) }
        await port.idle()
    }
}

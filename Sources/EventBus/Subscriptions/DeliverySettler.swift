internal import Logging

/// A component that settles the deliveries of a subscription with the transport, and reports them to the observers.
final class DeliverySettler: Sendable {
    let subscription: SubscriptionInfo
    let observers: [any DeliveryObserver]
    /// A Boolean value indicating whether the order of keys is kept across instances.
    let keepsOrder: Bool
    let queue: DeliveryQueue
    /// A signal that is raised when the subscription stops.
    let stopping: Signal
    let environment: SubscriptionEnvironment
    /// The deliveries that wait until the transport accepts their settlement.
    let refused = RefusedSettlements()

    init(
        subscription: SubscriptionInfo,
        observers: [any DeliveryObserver],
        keepsOrder: Bool,
        queue: DeliveryQueue,
        stopping: Signal,
        environment: SubscriptionEnvironment
    ) {
        self.subscription = subscription
        self.observers = observers
        self.keepsOrder = keepsOrder
        self.queue = queue
        self.stopping = stopping
        self.environment = environment
    }

    /// Settles a delivery. One that keeps its place is settled again until the transport takes it.
    func settle(
        _ delivery: Delivery,
        as disposition: Disposition,
        attempt: Int,
        consumer: any TransportConsumer
    ) async {
        if keepsOrder, case .requeued = disposition {
            // It stays unacknowledged until its channel is closed. If it were returned alone, it would be redelivered
            // after the events behind it.
            return report(delivery, disposition, attempt: attempt, isHeld: false)
        }
        guard case .acknowledged = disposition, !Task.isCancelled else {
            return await settlePatiently(delivery, as: disposition, attempt: attempt, consumer: consumer)
        }
        do {
            try await consumer.settle(delivery, as: .acknowledged)
            report(delivery, .acknowledged, attempt: attempt, isHeld: false)
        } catch {
            await settlePatiently(delivery, as: .acknowledged, attempt: attempt, consumer: consumer, after: error)
        }
    }

    /// Settles a delivery in a call that no cancellation interrupts. By key, the call is repeated until the transport
    /// accepts the settlement.
    private func settlePatiently(
        _ delivery: Delivery,
        as disposition: Disposition,
        attempt: Int,
        consumer: any TransportConsumer,
        after firstError: (any Error)? = nil
    ) async {
        var refusal = firstError
        if refusal == nil { refusal = await settleShielded(delivery, as: disposition, consumer) }
        var isRefused = false
        defer { if isRefused { refused.remove() } }
        while let error = refusal {
            if (error as? EventBusError)?.code == .staleDelivery { return noteUnsettled(delivery, error, .debug) }
            noteUnsettled(delivery, error, isRefused ? .debug : .warning)
            guard keepsOrder else {
                // Returned, so that the broker redelivers it instead of waiting for a settlement that will never arrive.
                _ = await settleShielded(delivery, as: .requeued, consumer)
                return
            }
            if !isRefused { refused.add() }
            isRefused = true
            refused.note(error)
            // It keeps its place, and its key waits, until the broker can accept its settlement.
            guard await mayBeSettledLater(delivery) else { return }
            refusal = await settleShielded(delivery, as: disposition, consumer)
        }
        report(delivery, disposition, attempt: attempt, isHeld: false)
    }

    /// Settles a delivery in a call that the handler's time limit does not interrupt.
    ///
    /// - Returns: The error, if the transport did not accept the settlement.
    private func settleShielded(
        _ delivery: Delivery,
        as disposition: Disposition,
        _ consumer: any TransportConsumer
    ) async -> (any Error)? {
        do {
            try await withoutCancellation { try await consumer.settle(delivery, as: disposition) }
            return nil
        } catch {
            return error
        }
    }

    /// Returns deliveries to the broker that no handler has started.
    func giveBack(_ deliveries: [TrackedDelivery], consumer: any TransportConsumer) async {
        await withDiscardingTaskGroup { group in
            for tracked in deliveries {
                @Sendable func giveBack() async {
                    await settle(tracked.delivery, as: .requeued, attempt: tracked.attempt, consumer: consumer)
                }
                // The transport may return a redelivered event as a copy, and wait for its confirm.
                if tracked.delivery.redeliveries > 0 { group.addTask { await giveBack() } } else { await giveBack() }
            }
        }
    }

    /// Waits for a moment before a delivery is settled again.
    ///
    /// - Returns: `true` if it may be settled again. Otherwise the subscription is stopping, or the broker redelivers
    ///   it anyway.
    private func mayBeSettledLater(_ delivery: Delivery) async -> Bool {
        let (clock, stopping) = (environment.clock, stopping)
        let due = clock.now.advanced(by: .seconds(1))
        // In a separate task, because the worker's task may be cancelled, and then would not wait.
        await Task { _ = try? await withDeadline(due, clock: clock) { try await stopping.wait() } }.value
        return !stopping.isRaised && !queue.isRevoked(delivery)
    }

    private func noteUnsettled(_ delivery: Delivery, _ error: any Error, _ level: Logger.Level) {
        environment.logger.logger.log(
            level: level,
            "a delivery could not be settled",
            metadata: [
                LogKeys.eventID: "\(delivery.envelope.id)", LogKeys.group: "\(subscription.group)",
                LogKeys.subscription: "\(subscription.name)", LogKeys.error: "\(String(loggable: error))",
            ]
        )
    }

    /// Reports the outcome of a delivery to the observers.
    func report(_ delivery: Delivery, _ disposition: Disposition, attempt: Int, isHeld: Bool) {
        guard !observers.isEmpty else { return }
        let settled = SettledDelivery(
            delivery: delivery,
            attempt: attempt,
            disposition: disposition,
            isHeld: isHeld,
            settler: self
        )
        for observer in observers { observer.didSettle(settled) }
    }
}

internal import Logging

/// The step that tells the transport what became of each delivery of a subscription, and then the middleware.
struct DeliverySettler: Sendable {
    let subscription: SubscriptionInfo
    let middleware: [any ConsumeMiddleware]
    /// Whether the order of keys holds across instances.
    let keepsOrder: Bool
    let queue: DeliveryQueue
    /// Raised when the subscription stops.
    let stopping: Signal
    let environment: SubscriptionEnvironment

    /// Settles a delivery. One that keeps its place is settled again until the transport takes it.
    func settle(
        _ delivery: Delivery,
        as disposition: Disposition,
        attempt: Int,
        consumer: any TransportConsumer
    ) async {
        if keepsOrder, case .handedBack = disposition {
            // It stays unacknowledged until its channel is closed: handed back alone, it would come after those behind it.
            return report(delivery, disposition, attempt: attempt, isHeld: false)
        }
        while true {
            do {
                switch disposition {
                case .acknowledged where !Task.isCancelled, .handedBack where !Task.isCancelled:
                    try await consumer.settle(delivery, as: disposition)
                default:
                    // What takes a while is not to be cut short by the end of a handler's time.
                    try await withoutCancellation { try await consumer.settle(delivery, as: disposition) }
                }
                return report(delivery, disposition, attempt: attempt, isHeld: false)
            } catch let error as EventBusError where error.code == .staleDelivery {
                return noteUnsettled(delivery, error)
            } catch {
                noteUnsettled(delivery, error)
                if keepsOrder {
                    // It keeps its place, and its key waits, until the broker can take what became of it.
                    guard await mayBeSettledLater(delivery) else { return }
                } else {
                    // Still ours: the broker is to redeliver it, instead of waiting for an answer that will not come.
                    try? await withoutCancellation { try await consumer.settle(delivery, as: .handedBack) }
                    return
                }
            }
        }
    }

    /// Waits a moment before a delivery is settled again.
    ///
    /// - Returns: Whether it may be; if not, the subscription stops, or the broker redelivers it anyway.
    private func mayBeSettledLater(_ delivery: Delivery) async -> Bool {
        let (clock, stopping) = (environment.clock, stopping)
        let due = clock.now.advanced(by: .seconds(1))
        // In a task of its own, because the worker's may be cancelled, and would not wait.
        await Task { _ = try? await withDeadline(due, clock: clock) { try await stopping.wait() } }.value
        return !stopping.isRaised && !queue.isRevoked(delivery)
    }

    private func noteUnsettled(_ delivery: Delivery, _ error: any Error) {
        environment.logger.logger.debug(
            "a delivery could not be settled",
            metadata: [LogKeys.eventID: "\(delivery.envelope.id)", LogKeys.error: "\(error)"]
        )
    }

    /// Tells the middleware what became of a delivery.
    func report(_ delivery: Delivery, _ disposition: Disposition, attempt: Int, isHeld: Bool) {
        guard !middleware.isEmpty else { return }
        let settled = SettledDelivery(
            delivery: delivery,
            attempt: attempt,
            disposition: disposition,
            isHeld: isHeld,
            subscription: subscription,
            logger: environment.logger
        )
        for step in middleware { step.didSettle(settled) }
    }
}

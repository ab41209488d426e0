import EventBus

/// A sink that stores deliveries, for checks below the bus.
final class StoringSink: DeliverySink {
    private let deliveries = Locked<[Delivery]>([])

    var all: [Delivery] { deliveries.withLock { $0 } }

    func receive(_ delivery: Delivery) {
        deliveries.withLock { $0.append(delivery) }
    }

    func revoke(through generation: UInt64) {
        deliveries.withLock { $0.removeAll { $0.token.generation <= generation } }
    }
}

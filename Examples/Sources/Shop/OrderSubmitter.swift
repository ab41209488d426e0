import EventBus
import Logging
import OrderService
import Synchronization

/// Places orders, several at a time, until all are placed or it is closed.
final class OrderSubmitter: Sendable {
    private static let concurrency = 32
    private static let attempts = 3

    private struct State {
        var next = 0
        var isClosed = false
    }

    private let orders: [Order]
    private let service: OrderService
    private let tally: DeliveryCounter
    private let logger: Logger
    private let state = Mutex(State())

    init(orders: [Order], service: OrderService, tally: DeliveryCounter, logger: Logger) {
        self.orders = orders
        self.service = service
        self.tally = tally
        self.logger = logger
    }

    /// A Boolean value indicating whether it was closed before every order was placed.
    var isClosed: Bool { state.withLock { $0.isClosed && $0.next < orders.count } }

    /// Stops placing orders.
    func close() {
        state.withLock { $0.isClosed = true }
    }

    /// Places the orders. Returns when the broker has all of them, or after a close when it has the started ones.
    func placeAll() async throws {
        try await withThrowingTaskGroup { group in
            for _ in 0..<Self.concurrency {
                group.addTask {
                    while let order = self.takeNext() { try await self.place(order) }
                }
            }
            try await group.waitForAll()
        }
    }

    private func takeNext() -> Order? {
        state.withLock { state in
            guard !state.isClosed, state.next < orders.count else { return nil }
            defer { state.next += 1 }
            return orders[state.next]
        }
    }

    private func place(_ order: Order) async throws {
        for attempt in 1... {
            do {
                try await service.place(order)
                tally.update { $0.placed += 1 }
                return
            } catch let error as EventBusError where attempt < Self.attempts {
                // It has the same event id, so it is harmless if the first one has arrived.
                logger.info("order \(order.id) is placed again", metadata: ["error": "\(error)"])
            }
        }
    }
}

import EventBus
import Logging
import OrderService
import Synchronization

/// Where the customers stand: places orders, some at a time, until there are no more or it is closed.
final class Till: Sendable {
    private static let concurrency = 32
    private static let attempts = 3

    private struct State {
        var next = 0
        var isClosed = false
    }

    private let orders: [Order]
    private let service: OrderService
    private let tally: Tally
    private let logger: Logger
    private let state = Mutex(State())

    init(orders: [Order], service: OrderService, tally: Tally, logger: Logger) {
        self.orders = orders
        self.service = service
        self.tally = tally
        self.logger = logger
    }

    /// Whether it was closed before every order was placed.
    var isClosed: Bool { state.withLock { $0.isClosed && $0.next < orders.count } }

    /// Takes no more orders.
    func close() {
        state.withLock { $0.isClosed = true }
    }

    /// Places the orders; returns when all of them are with the broker, or those that were begun when it was closed.
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
                // It goes out under the same event id, so it does no harm if the first one has arrived.
                logger.info("order \(order.id) is placed again", metadata: ["error": "\(error)"])
            }
        }
    }
}

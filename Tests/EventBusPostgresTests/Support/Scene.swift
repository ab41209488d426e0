import EventBus
import EventBusInMemory
import EventBusOutbox
import EventBusTesting
import Logging
import ServiceLifecycle

@testable import EventBusPostgres

/// A database with an outbox and a bus on which its events are published.
struct Scene: Sendable {
    let database: TestDatabase
    let bus: EventBus
    let outbox: PostgresOutbox
    /// The orders that arrived, in order.
    let arrived = Collected<OrderPlaced>()
    let recorder = EventRecorder()

    init(_ database: TestDatabase, bus: EventBus = EventBus(transport: .inMemory()), hasSubscriber: Bool = true) {
        self.database = database
        self.bus = bus
        outbox = PostgresOutbox(database.client, bus: bus)
        if hasSubscriber { subscribe() }
    }

    func subscribe() {
        let options = SubscriptionOptions(concurrency: 20, ordering: .byPartitionKey, middleware: [recorder])
        bus.subscribe(to: OrderPlaced.self, group: "g", options: options) { [arrived] order, _ in arrived.add(order) }
    }

    /// Returns a relay that looks for events by itself only every minute.
    func relay(_ change: (inout OutboxRelay.Configuration) -> Void = { _ in }) throws -> OutboxRelay {
        var configuration = OutboxRelay.Configuration()
        configuration.pollInterval = .seconds(60)
        change(&configuration)
        return try OutboxRelay(database.client, bus: bus, configuration: configuration, logger: .quiet)
    }

    /// Runs the bus and a relay while `body` runs, and shuts the relay down gracefully. A cancelled relay may publish an
    /// event again.
    func run(_ relay: OutboxRelay? = nil, _ body: @escaping @Sendable () async throws -> Void) async throws {
        let relay = try relay ?? self.relay()
        try await bus.withRunning {
            let group = ServiceGroup(services: [relay], logger: .quiet)
            let running = Task { try await group.run() }
            let result: Result<Void, any Error>
            do {
                result = .success(try await body())
            } catch {
                result = .failure(error)
            }
            await group.triggerGracefulShutdown()
            try await running.value
            try result.get()
        }
    }

    /// Stores orders in one transaction.
    func store(_ orders: OrderPlaced...) async throws {
        _ = try await database.client.run(orders.map { try outbox.row(for: $0) })
    }

    /// Waits until this many orders have arrived.
    func waitForArrivals(_ count: Int) async throws {
        try await eventually("\(count) orders should arrive", within: .seconds(60)) { arrived.count >= count }
    }
}

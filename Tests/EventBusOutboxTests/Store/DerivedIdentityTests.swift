import EventBus
import EventBusInMemory
import EventBusTesting
import GRDB
import Testing

@testable import EventBusOutbox

@Suite("Derived identities of events in an outbox", .timeLimit(.minutes(1)))
struct DerivedIdentityTests {
    /// Handles one order and returns the identities that `store` returns in each of two attempts.
    private func identities(
        _ store: @escaping @Sendable (EventContext, Outbox, DatabaseQueue) async throws -> [EventID]
    ) async throws -> [[EventID]] {
        let database = try makeDatabase()
        let broker = InMemoryBroker(clock: ManualClock())
        let bus = EventBus(transport: .inMemory(broker))
        let outbox = Outbox(bus: bus)
        let attempts = Collected<[EventID]>()
        let retry = RetryPolicy.fixed(.seconds(1), maximumAttempts: 2)
        bus.subscribe(to: OrderPlaced.self, group: "g", options: .init(retry: retry)) { _, context in
            attempts.add(try await store(context, outbox, database))
            if context.attempt == 1 { throw Broken() }
        }
        try await bus.withRunning {
            try await bus.publish(OrderPlaced(orderID: "1"))
            try await broker.settled()
        }
        return attempts.all
    }

    private static let event = OrderPaid(orderID: "1")

    @Test("An event of a transaction that is rolled back and repeated keeps its identity")
    func rolledBack() async throws {
        let attempts = try await identities { context, outbox, database in
            if context.attempt == 1 {
                try? await database.write { db in
                    _ = try outbox.publish(Self.event, in: db)
                    throw Broken()
                }
            }
            return try await database.write { db in
                [try outbox.publish(Self.event, in: db), try outbox.publish(Self.event, in: db)]
            }
        }
        #expect(attempts.count == 2)
        #expect(attempts.first == attempts.last)
    }

    @Test("An event that could not be stored keeps its identity")
    func refused() async throws {
        let attempts = try await identities { context, outbox, database in
            if context.attempt == 1 {
                try? await database.write { db in
                    _ = try outbox.publish(Self.event, options: .init(priority: 1), in: db)
                }
                try? await database.writeWithoutTransaction { db in _ = try outbox.publish(Self.event, in: db) }
            }
            return [try await database.write { db in try outbox.publish(Self.event, in: db) }]
        }
        #expect(attempts.first == attempts.last)
    }
}

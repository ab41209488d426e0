import EventBus
import EventBusInMemory
import EventBusTesting
import GRDB
import Testing

@testable import EventBusOutbox

extension RelayInTroubleSuite {
    @Suite("The activity that a relay reports to a waiting test", .timeLimit(.minutes(1)))
    struct SettledTests {
        private func isIdle(_ relay: OutboxRelay) -> Bool {
            if case .idle = relay.activity() { true } else { false }
        }

        @Test("From the commit until the broker has the event the relay is not idle, and afterwards it is")
        func busyUntilPublished() async throws {
            let database = try makeDatabase()
            let clock = ManualClock()
            let isRefused = Locked(true)
            let transport = ScriptedTransport(InMemoryBroker(clock: clock)) { _ in
                isRefused.withLock { $0 } ? .error(EventBusError(.unavailable, "down")) : nil
            }
            let bus = EventBus(transport: transport)
            let outbox = Outbox(bus: bus)
            bus.subscribe(to: OrderPlaced.self, group: "g") { _, _ in }
            let relay = OutboxRelay(database: database, bus: bus, logger: .quiet)
            #expect(isIdle(relay))
            try await running(bus, relay) {
                while relay.health().details["publishes"] != 1 || !isIdle(relay) { await Task.yield() }
                try await database.write { db in _ = try outbox.publish(OrderPlaced(orderID: "k"), in: db) }
                #expect(!isIdle(relay))
                while relay.health().reason == nil { await Task.yield() }
                #expect(!isIdle(relay))
                isRefused.withLock { $0 = false }
                while !isIdle(relay) {
                    if case .waiting(_, let due, _) = relay.activity() { await bus.clock.advance(to: due) }
                    await Task.yield()
                }
                #expect(try await database.waiting().isEmpty)
            }
            #expect(isIdle(relay))
        }
    }
}

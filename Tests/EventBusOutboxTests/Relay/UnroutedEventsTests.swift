import EventBus
import EventBusInMemory
import EventBusTesting
import GRDB
import InMemoryLogging
import Logging
import Testing

@testable import EventBusOutbox

extension RelayInTroubleSuite {
    @Suite("Events without a subscriber", .timeLimit(.minutes(3)))
    struct UnroutedEventsTests {
        @Test(
            "They are named in health and once in the log, tried again for as long as it takes, and let their key go on"
        )
        func staysAndLetsKeyGoOn() async throws {
            let database = try makeDatabase()
            let clock = ManualClock()
            let log = InMemoryLogHandler()
            let transport = ScriptedTransport(InMemoryBroker(clock: clock)) { _ in nil }
            let bus = EventBus(transport: transport)
            let outbox = Outbox(bus: bus)
            let recorder = EventRecorder()
            let inOrder = SubscriptionOptions(ordering: .byPartitionKey, middleware: [recorder])
            bus.subscribe(to: OrderPaid.self, group: "g", options: inOrder) { _, _ in }
            let relay = OutboxRelay(database: database, bus: bus, logger: Logger(label: "test") { _ in log })
            try await running(bus, relay) {
                try await database.write { db in
                    for number in 1...3 {
                        try outbox.publish(OrderPlaced(orderID: "k", number: number), in: db)
                        try outbox.publish(OrderPaid(orderID: "k", number: number), in: db)
                    }
                }
                // No time passes.
                let paid = try await recorder.waitForHandled(OrderPaid.self, count: 3)
                #expect(paid.map(\.number) == [1, 2, 3])
                while relay.health().details["without_subscriber"] != 3 {
                    clock.advance(by: .seconds(1))
                    await Task.yield()
                }
                #expect(relay.health().reason?.contains("order.placed") == true)
                #expect(relay.health().status == .notReady)
                for _ in 1...3600 {
                    clock.advance(by: .seconds(1))
                    await Task.yield()
                }
                #expect(transport.sent.all.count { $0.topic == OrderPlaced.topic } < 400)
                #expect(log.entries.count { $0.metadata["topic"] == "order.placed" } == 1)
                #expect(try await database.read { try outbox.backlog(in: $0) }.parked == 0)

                let placed = EventRecorder()
                let options = SubscriptionOptions(ordering: .byPartitionKey, middleware: [placed])
                try await bus.subscribe(to: OrderPlaced.self, group: "g", options: options) { _, _ in }.attached()
                let all = Task { try await placed.waitForHandled(OrderPlaced.self, count: 4) }
                // A later one waits behind the waiting ones.
                try await database.write { db in _ = try outbox.publish(OrderPlaced(orderID: "k", number: 4), in: db) }
                while try await database.read({ try outbox.backlog(in: $0) }).count > 0 {
                    clock.advance(by: .seconds(1))
                    await Task.yield()
                }
                #expect(try await all.value.map(\.number) == [1, 2, 3, 4])
                while relay.health().status != .ready { await Task.yield() }
            }
        }

        @Test("Of any number of events, one probes whether the topic has a subscriber")
        func oneProbe() async throws {
            let database = try makeDatabase()
            let clock = ManualClock()
            let transport = ScriptedTransport(InMemoryBroker(clock: clock)) { _ in nil }
            let bus = EventBus(transport: transport)
            let outbox = Outbox(bus: bus)
            let relay = OutboxRelay(database: database, bus: bus, logger: .quiet)
            let count = 5000
            try await database.write { db in
                for number in 0..<count {
                    try outbox.publish(OrderPlaced(orderID: "\(number % 1000)", number: number), in: db)
                }
            }
            try await running(bus, relay) {
                while try await database.read({ try outbox.backlog(in: $0) }).withoutSubscriber < count {
                    await Task.yield()
                }
                let before = transport.sent.count
                for _ in 1...3600 {
                    clock.advance(by: .seconds(1))
                    await Task.yield()
                }
                #expect(transport.sent.count - before < 400)
                let recorder = EventRecorder()
                let options = SubscriptionOptions(concurrency: 50, ordering: .byPartitionKey, middleware: [recorder])
                let orders = Collected<OrderPlaced>()
                try await bus.subscribe(to: OrderPlaced.self, group: "g", options: options) { order, _ in
                    orders.add(order)
                }.attached()
                let all = Task {
                    try await recorder.waitForHandled(OrderPlaced.self, count: count, within: .seconds(60))
                }
                while try await database.read({ try outbox.backlog(in: $0) }).count > 0 {
                    clock.advance(by: .seconds(1))
                    await Task.yield()
                }
                _ = try await all.value
                for orders in Dictionary(grouping: orders.all, by: \.orderID).values {
                    #expect(orders.map(\.number) == orders.map(\.number).sorted())
                }
            }
        }

        @Test("After a restart of the relay they are still there, and are published once there is a subscriber")
        func restart() async throws {
            let database = try makeDatabase()
            let clock = ManualClock()
            let broker = InMemoryBroker(clock: clock)
            let first = EventBus(transport: .inMemory(broker))
            let outbox = Outbox(bus: first)
            try await running(first, OutboxRelay(database: database, bus: first, logger: .quiet)) {
                try await database.write { db in _ = try outbox.publish(NoteTaken(number: 1), in: db) }
                try await database.wait(for: { try outbox.backlog(in: $0) }) { $0.withoutSubscriber == 1 }
            }
            let second = EventBus(transport: .inMemory(broker))
            let recorder = EventRecorder()
            second.subscribe(to: NoteTaken.self, group: "g", options: .init(middleware: [recorder])) { _, _ in }
            try await running(second, OutboxRelay(database: database, bus: second, logger: .quiet)) {
                let handled = Task { try await recorder.waitForHandled(NoteTaken.self) }
                while try await database.read({ try outbox.backlog(in: $0) }).count > 0 {
                    clock.advance(by: .seconds(1))
                    await Task.yield()
                }
                _ = try await handled.value
            }
        }
    }
}

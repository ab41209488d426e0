import EventBus
import EventBusInMemory
import EventBusTesting
import GRDB
import Testing

@testable import EventBusOutbox

extension RelayInTroubleSuite {
    @Suite("Delays of the outbox", .timeLimit(.minutes(3)))
    struct DelayedEventsTests {
        @Test("A delay that is too long for the broker waits in the database and ends exactly on time")
        func longDelay() async throws {
            let database = try makeDatabase()
            let clock = ManualClock()
            let bus = EventBus(transport: .inMemory(InMemoryBroker(clock: clock)))
            let outbox = Outbox(bus: bus)
            let recorder = EventRecorder()
            bus.subscribe(to: OrderPlaced.self, group: "g", options: .init(middleware: [recorder])) { _, _ in }
            let relay = OutboxRelay(database: database, bus: bus, logger: .quiet)
            let hour = Duration.seconds(3600)
            try await running(bus, relay) {
                try await database.write { db in
                    try outbox.publish(OrderPlaced(orderID: "k", number: 1), options: .init(delay: hour * 72), in: db)
                    try outbox.publish(OrderPlaced(orderID: "k", number: 2), in: db)
                }
                // It delays nothing of its key.
                #expect(try await recorder.waitForHandled(OrderPlaced.self).map(\.number) == [2])
                for _ in 1...42 {
                    clock.advance(by: hour)
                    await relay.rest()
                }
                let backlog = try await database.read { try outbox.backlog(in: $0) }
                #expect(backlog.delayed == 1 && backlog.count == 1 && backlog.parked == 0)
                while try await database.read({ try outbox.backlog(in: $0) }).count > 0 {
                    clock.advance(by: .seconds(60))
                    await relay.rest()
                }
                #expect(bus.health().components.compactMap { $0.details["delayed"] } == [1])
                clock.advance(to: .init(offset: hour * 72 - .seconds(1)))
                #expect(bus.health().components.compactMap { $0.details["delayed"] } == [1])
                clock.advance(by: .seconds(1))
                #expect(try await recorder.waitForHandled(OrderPlaced.self, count: 2).map(\.number) == [2, 1])
            }
        }

        @Test("A delay that the broker refuses is tried again after half of it has passed")
        func refusedDelay() async throws {
            let database = try makeDatabase()
            let clock = ManualClock()
            let refusals = Collected<Duration>()
            var configuration = EventBusConfiguration()
            configuration.publishMiddleware = [RefusingDelays(longest: .seconds(10), refused: refusals)]
            let bus = EventBus(transport: .inMemory(InMemoryBroker(clock: clock)), configuration: configuration)
            let outbox = Outbox(bus: bus)
            let recorder = EventRecorder()
            bus.subscribe(to: NoteTaken.self, group: "g", options: .init(middleware: [recorder])) { _, _ in }
            try await running(bus, OutboxRelay(database: database, bus: bus, logger: .quiet)) {
                try await database.write { db in
                    _ = try outbox.publish(NoteTaken(number: 1), options: .init(delay: .seconds(60)), in: db)
                }
                while refusals.count == 0 { await Task.yield() }
                let handled = Task { try await recorder.waitForHandled(NoteTaken.self) }
                while recorder.settled.isEmpty {
                    clock.advance(by: .seconds(1))
                    await Task.yield()
                }
                _ = try await handled.value
                #expect(try await database.read { try outbox.backlog(in: $0) }.parked == 0)
            }
            #expect((1...4).contains(refusals.count))
        }

        @Test(
            "No delay traps",
            arguments: [Duration.seconds(Int64.max), .seconds(9_223_372_036_854_775), .seconds(-1)]
        )
        func anyDelay(delay: Duration) throws {
            let database = try makeDatabase()
            let outbox = Outbox(bus: EventBus(transport: .inMemory()))
            try database.write { db in
                try outbox.publish(NoteTaken(number: 1), options: .init(delay: delay), in: db)
                let backlog = try outbox.backlog(in: db)
                #expect(backlog.count == 1)
                #expect(backlog.delayed == (delay > .zero ? 1 : 0))
            }
        }
    }
}

private struct RefusingDelays: PublishMiddleware {
    var longest: Duration
    var refused: Collected<Duration>

    func publish(_ event: OutgoingEvent, next: PublishNext) async throws -> PublishReceipt {
        if event.delay > longest {
            refused.add(event.delay)
            throw EventBusError(.unsupported, "too long")
        }
        return try await next(event)
    }
}

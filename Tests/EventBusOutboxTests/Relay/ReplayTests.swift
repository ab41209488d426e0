import EventBus
import EventBusInMemory
import EventBusTesting
import GRDB
import Testing

@testable import EventBusOutbox

extension RelayInTroubleSuite {
    @Suite("Replaying parked events", .timeLimit(.minutes(2)))
    struct ReplayTests {
        @Test("When all are replayed, they precede the waiting events of their keys")
        func all() throws {
            let database = try makeDatabase()
            let outbox = Outbox(bus: EventBus(transport: .inMemory()))
            try database.write { db in
                for number in 1...6 { try outbox.publish(OrderPlaced(orderID: "k", number: number), in: db) }
                for sequence in 1...3 as ClosedRange<Int64> {
                    let failure = Failure(reason: .nonRetryable, error: Broken())
                    try OutboxStatements.park(sequence, failure, now: .now(), in: db)
                }
                try OutboxStatements.advance("k".databaseValue, in: db)
                #expect(try outbox.replayAll(in: db) == 3)
                #expect(try numbers(db) == [1, 2, 3, 4, 5, 6])
            }
        }

        @Test("Events return to their places in any order of replay", arguments: [[3, 1, 2], [1, 2, 3], [2, 3, 1]])
        func single(order: [Int64]) throws {
            let database = try makeDatabase()
            let outbox = Outbox(bus: EventBus(transport: .inMemory()))
            try database.write { db in
                for number in 1...6 { try outbox.publish(OrderPlaced(orderID: "k", number: number), in: db) }
                for sequence in order {
                    try OutboxStatements.park(
                        sequence,
                        Failure(reason: .nonRetryable, error: Broken()),
                        now: .now(),
                        in: db
                    )
                }
                try OutboxStatements.advance("k".databaseValue, in: db)
                for sequence in order { #expect(try outbox.replay(sequence, in: db)) }
                #expect(try outbox.replay(1, in: db) == false)
                #expect(try numbers(db) == [1, 2, 3, 4, 5, 6])
                #expect(try Int.fetchOne(db, sql: "SELECT count(*) FROM eventbus_outbox WHERE due_at IS NOT NULL") == 1)
            }
        }

        /// Returns the numbers in the order in which a relay takes the events of one key.
        private func numbers(_ db: Database) throws -> [Int] {
            let taking = try OutboxStatements.take(
                limit: 10,
                depth: 10,
                excluding: [],
                terms: .init(now: .now()),
                in: db
            )
            #expect(taking.runs.count == 1)
            return try taking.runs.joined().map {
                try JSONEventCodec().decode(OrderPlaced.self, from: $0.envelope.payload).number
            }
        }

        @Test("They precede events that the relay has read already and could not publish")
        func whileTheRelayWaits() async throws {
            let database = try makeDatabase()
            let clock = ManualClock()
            let mode = Locked<EventBusError.Code?>(.tooLarge)
            let transport = ScriptedTransport(InMemoryBroker(clock: clock)) { envelope in
                guard let code = mode.withLock({ $0 }) else { return nil }
                let isFirst = envelope.payload.contains(UInt8(ascii: "1"))
                return .error(EventBusError(isFirst ? code : .unavailable, "broken"))
            }
            let bus = EventBus(transport: transport)
            let outbox = Outbox(bus: bus)
            let recorder = EventRecorder()
            bus.subscribe(to: OrderPlaced.self, group: "g", options: .init(concurrency: 1, middleware: [recorder])) {
                _,
                _ in
            }
            let relay = OutboxRelay(database: database, bus: bus, logger: .quiet)
            try await running(bus, relay) {
                try await database.write { db in
                    for number in 1...4 { try outbox.publish(OrderPlaced(orderID: "k", number: number), in: db) }
                }
                while try await database.read({ try outbox.backlog(in: $0) }).parked == 0 {
                    clock.advance(by: .seconds(1))
                    await Task.yield()
                }
                // The first was published, and the second waits in the relay.
                while relay.health().reason?.contains("unavailable") != true {
                    try Task.checkCancellation()
                    clock.advance(by: .seconds(1))
                    await Task.yield()
                }
                mode.withLock { $0 = .unavailable }
                let before = transport.sent.count
                #expect(try await database.write { try outbox.replayAll(in: $0) } == 1)
                // The relay has read the replayed event once it sends it again.
                while !transport.sent.all.dropFirst(before).contains(where: { $0.payload.contains(UInt8(ascii: "1")) })
                {
                    try Task.checkCancellation()
                    clock.advance(by: .seconds(1))
                    await Task.yield()
                }
                mode.withLock { $0 = nil }
                async let handled = recorder.waitForHandled(OrderPlaced.self, count: 4)
                try await database.drain(by: clock, relay)
                #expect(try await handled.map(\.number) == [1, 2, 3, 4])
            }
        }
    }
}

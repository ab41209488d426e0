import EventBus
import EventBusInMemory
import EventBusTesting
import Foundation
import GRDB
import Testing

@testable import EventBusOutbox

extension RelayInTroubleSuite {
    @Suite("The query plans", .timeLimit(.minutes(2)))
    struct QueryPlanTests {
        @Test("Every statement of outbox, relay and inbox uses an index")
        func noScans() async throws {
            let statements = Collected<String>()
            let database = try tracedDatabase(into: statements)
            let clock = ManualClock()
            let mode = Locked(EventBusError.Code?.none)
            let transport = ScriptedTransport(InMemoryBroker(clock: clock)) { envelope in
                guard envelope.partitionKey == "k" else { return nil }
                return mode.withLock { $0 }.map { .error(EventBusError($0, "")) }
            }
            let bus = EventBus(transport: transport)
            let outbox = Outbox(bus: bus)
            let recorder = EventRecorder()
            bus.subscribe(to: OrderPaid.self, group: "g", options: .init(middleware: [recorder])) { _, _ in }
            let relay = OutboxRelay(database: database, bus: bus, logger: .quiet)
            try await running(bus, relay) {
                // All possible paths of an event.
                for code in [nil, .tooLarge, .rejected, .unavailable] as [EventBusError.Code?] {
                    mode.withLock { $0 = code }
                    try await database.write { db in
                        for key in ["k", "l"] {
                            try outbox.publish(OrderPaid(orderID: key), in: db)
                            try outbox.publish(OrderPlaced(orderID: key), in: db)
                            try outbox.publish(
                                OrderPaid(orderID: key),
                                options: .init(delay: .seconds(200_000)),
                                in: db
                            )
                        }
                        try outbox.publish(NoteTaken(number: 1), in: db)
                    }
                    for _ in 1...300 {
                        clock.advance(by: .seconds(1000))
                        await relay.rest()
                    }
                }
                mode.withLock { $0 = nil }
                try await database.write { db in
                    _ = try outbox.parked(in: db)
                    _ = try outbox.replayAll(in: db)
                    _ = try outbox.discard(1, in: db)
                    _ = try outbox.backlog(in: db)
                }
                try await bus.subscribe(to: OrderPlaced.self, group: "g") { _, _ in }.attached()
                while try await database.read({ try outbox.backlog(in: $0) }).count > 4 {
                    clock.advance(by: .seconds(100))
                    await relay.rest()
                }
            }
            let inbox = SQLiteInbox(database: database)
            try await exercise(inbox, database)

            let all = Set(statements.all)
            #expect(all.count > 30)
            // A migration copies a whole table once, under a name that does not exist afterwards.
            for sql in all.sorted() where sql.contains("eventbus_") && !sql.contains("eventbus_inbox_v2") {
                let plan = try await database.read { db in
                    let statement = try db.makeStatement(sql: "EXPLAIN QUERY PLAN \(sql)")
                    // All NULL, because the plan does not depend on them.
                    statement.setUncheckedArguments([])
                    return try Row.fetchAll(statement).map { $0["detail"] as String }
                }
                for step in plan where step.hasPrefix("SCAN") {
                    #expect(step.contains("INDEX") || step == "SCAN CONSTANT ROW", "\(sql): \(step)")
                }
                // The inbox sorts the few records of one event.
                #expect(
                    sql.contains("eventbus_inbox") || !plan.contains { $0.contains("TEMP B-TREE") },
                    "\(sql): \(plan)"
                )
            }
        }

        /// Runs every statement of the inbox.
        private func exercise(_ inbox: SQLiteInbox, _ database: DatabaseQueue) async throws {
            @Sendable func key(_ id: EventID) -> InboxKey { InboxKey(topic: "t", eventID: id, subscription: "g.s") }
            guard case .new(let claim) = try await inbox.begin(key("1"), lease: .seconds(30)) else { return }
            try await inbox.renew(claim, lease: .seconds(30))
            try await inbox.complete(claim, retention: .seconds(30))
            guard case .new(let other) = try await inbox.begin(key("2"), lease: .seconds(30)) else { return }
            try await inbox.abandon(other)
            try await database.write { db in
                _ = try inbox.performOnce(key("3"), in: db) { _ in }
            }
        }

        private func tracedDatabase(into statements: Collected<String>) throws -> DatabaseQueue {
            var configuration = GRDB.Configuration()
            configuration.prepareDatabase { db in
                db.trace { event in
                    guard case .statement(let statement) = event else { return }
                    let kinds = ["SELECT", "INSERT", "UPDATE", "DELETE"]
                    guard kinds.contains(where: { statement.sql.hasPrefix($0) }) else { return }
                    statements.add(statement.sql)
                }
            }
            let database = try DatabaseQueue(configuration: configuration)
            try migrate(database)
            return database
        }

        @Test("A database of the first version is migrated, and its events are published in order")
        func migration() async throws {
            for hasMigrator in [true, false] {
                let database = try DatabaseQueue()
                let bus = EventBus(transport: .inMemory())
                try await database.write { db in
                    try db.execute(sql: OutboxSchema.v1)
                    for number in 1...4 {
                        try db.execute(
                            sql: """
                                INSERT INTO eventbus_outbox (\(OutboxSchema.carriedColumns), due_at)
                                VALUES (?, 'order.placed', 'k', 'application/json', 1, 0, NULL, NULL, NULL, NULL, ?, 1, NULL, 1, ?)
                                """,
                            arguments: [
                                "\(number)", Data(#"{"orderID":"k","number":\#(number)}"#.utf8), number == 1 ? 0 : nil,
                            ]
                        )
                    }
                    try db.execute(
                        sql: "INSERT INTO eventbus_outbox_relay (id, owner, expires_at) VALUES (1, 'crashed', 5)"
                    )
                }
                if hasMigrator {
                    try migrate(database)
                } else {
                    try await database.write { try Outbox.createTables(in: $0) }
                    try await database.write { try Outbox.createTables(in: $0) }
                }
                let recorder = EventRecorder()
                bus.subscribe(
                    to: OrderPlaced.self,
                    group: "g",
                    options: .init(ordering: .byPartitionKey, middleware: [recorder])
                ) { _, _ in }
                try await running(bus, OutboxRelay(database: database, bus: bus, logger: .quiet)) {
                    let orders = try await recorder.waitForHandled(OrderPlaced.self, count: 4)
                    #expect(orders.map(\.number) == [1, 2, 3, 4])
                    try await database.waitForBacklog(of: 0)
                }
            }
        }

        @Test("The order of keys is repaired in steps")
        func repairInSteps() throws {
            let database = try makeDatabase()
            let outbox = Outbox(bus: EventBus(transport: .inMemory()))
            try database.write { db in
                for number in 0..<30 {
                    try outbox.publish(OrderPlaced(orderID: "\(number % 10)", number: number), in: db)
                }
                // Directly, bypassing the outbox.
                try db.execute(sql: "DELETE FROM eventbus_outbox WHERE due_at = 0")
                #expect(try Int.fetchOne(db, sql: "SELECT count(*) FROM eventbus_outbox WHERE due_at = 0") == 0)
                var (key, steps) = (DatabaseValue?.some(Data().databaseValue), 0)
                while let next = key {
                    key = try OutboxStatements.repair(after: next, limit: 4, in: db)
                    steps += 1
                }
                #expect(steps == 3)
                #expect(
                    try Int64.fetchAll(
                        db,
                        sql: "SELECT sequence FROM eventbus_outbox WHERE due_at = 0 ORDER BY sequence"
                    )
                        == Array(11...20)
                )
            }
        }
    }
}

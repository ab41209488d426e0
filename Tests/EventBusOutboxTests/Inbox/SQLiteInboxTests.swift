import Dispatch
import EventBus
import EventBusInMemory
import EventBusTesting
import GRDB
import InMemoryLogging
import Logging
import Metrics
import MetricsTestKit
import Testing

@testable import EventBusOutbox

@Suite("The SQLite inbox", .timeLimit(.minutes(2)))
struct SQLiteInboxTests {
    private static let shared = Result { try DatabaseFile() }

    @Test(
        "It keeps the contract, each instance with a connection pool of its own on one file",
        arguments: InboxConformance { SQLiteInbox(database: try shared.get().open()) }.checks
    )
    func contract(check: ConformanceCheck) async throws {
        try await check.run()
    }

    /// A database with an inbox and a table of effects.
    private static func ledger() throws -> DatabaseQueue {
        let database = try makeDatabase()
        try database.write { try $0.execute(sql: "CREATE TABLE effect (event_id TEXT NOT NULL)") }
        return database
    }

    private static func key(_ id: EventID, topic: Topic = "note.taken") -> InboxKey {
        InboxKey(topic: topic, eventID: id, subscription: "g.h")
    }

    private static func effects(in database: some DatabaseReader) async throws -> [String] {
        try await database.read { try String.fetchAll($0, sql: "SELECT event_id FROM effect ORDER BY event_id") }
    }

    @Test("An effect and its record are committed together or not at all")
    func atomic() async throws {
        let database = try Self.ledger()
        let inbox = SQLiteInbox(database: database)
        let id = EventID()
        @Sendable func handle(_ db: Database, failing: Bool) throws -> Bool {
            try inbox.performOnce(Self.key(id), in: db) { db in
                try db.execute(sql: "INSERT INTO effect VALUES (?)", arguments: [id.rawValue])
                if failing { throw Broken() }
                return true
            } ?? false
        }

        // The handler fails after its write, and its caller continues with the transaction.
        let outcome = try await database.write { db in Result { try handle(db, failing: true) } }
        #expect(throws: Broken.self) { try outcome.get() }
        #expect(try await Self.effects(in: database).isEmpty)
        // All is done, but the transaction never commits.
        await #expect(throws: Broken.self) {
            try await database.write { db in
                #expect(try handle(db, failing: false))
                throw Broken()
            }
        }
        #expect(try await Self.effects(in: database).isEmpty)

        #expect(try await database.write { try handle($0, failing: false) })
        #expect(try await database.write { try handle($0, failing: false) } == false)
        #expect(try await database.writeWithoutTransaction { try handle($0, failing: false) } == false)
        #expect(try await Self.effects(in: database) == [id.rawValue])
    }

    @Test("A process killed before its commit leaves neither effect nor record, and one killed after it leaves both")
    func killed() async throws {
        let file = try DatabaseFile()
        let id = EventID()
        let database = try file.open()
        let inbox = SQLiteInbox(database: database)
        try await database.write { try $0.execute(sql: "CREATE TABLE effect (event_id TEXT NOT NULL)") }
        // A killed process leaves the content of the files at that moment.
        let (before, after) = try await database.writeWithoutTransaction { db in
            // With a tiny cache, pages are written to the file long before the commit.
            try db.execute(sql: "PRAGMA cache_size = 1")
            try db.beginTransaction()
            try inbox.performOnce(Self.key(id), in: db) { db in
                try db.execute(sql: "INSERT INTO effect VALUES (?)", arguments: [id.rawValue])
            }
            try db.execute(sql: "CREATE TABLE ballast AS SELECT randomblob(4096) FROM eventbus_inbox_fence")
            for _ in 0..<8 { try db.execute(sql: "INSERT INTO ballast SELECT randomblob(4096) FROM ballast") }
            let before = try file.copy()
            try db.commit()
            return (before, try file.copy())
        }
        for (copy, wasHandled) in [(before, false), (after, true)] {
            let revived = try copy.open()
            #expect(try await Self.effects(in: revived) == (wasHandled ? [id.rawValue] : []))
            let inbox = SQLiteInbox(database: revived)
            let isFirst = try await revived.write { db in
                try inbox.performOnce(Self.key(id), in: db) { db in
                    try db.execute(sql: "INSERT INTO effect VALUES (?)", arguments: [id.rawValue])
                    return true
                } ?? false
            }
            #expect(isFirst == !wasHandled)
            #expect(try await Self.effects(in: revived) == [id.rawValue])
        }
    }

    @Test("With lost connections, duplicates and failing handlers every event has exactly one effect")
    func exactlyOneEffect() async throws {
        let database = try Self.ledger()
        let inbox = SQLiteInbox(database: database)
        let bus = EventBus(transport: .inMemory(InMemoryBroker(faults: FaultPlan(seed: 7))))
        let outbox = Outbox(bus: bus)
        let runs = Collected<EventID>()
        let options = SubscriptionOptions(concurrency: 8, retry: .fixed(.milliseconds(1), maximumAttempts: 20))
        bus.subscribe(to: NoteTaken.self, group: "g", options: options) { note, context in
            let id = context.id
            let isFirst = context.attempt == 1
            try await inbox.performOnce(context) { db in
                try db.execute(sql: "INSERT INTO effect VALUES (?)", arguments: [id.rawValue])
                // Between the effect and its record's commit.
                if isFirst && note.number.isMultiple(of: 3) { throw Broken() }
            }
            runs.add(id)
            // After the commit, the delivery is redelivered and must have no second effect.
            if isFirst && note.number.isMultiple(of: 5) { throw Broken() }
        }
        try await running(bus, OutboxRelay(database: database, bus: bus)) {
            try await database.write { db in
                for number in 0..<200 { try outbox.publish(NoteTaken(number: number), in: db) }
            }
            try await database.wait(for: { try Int.fetchOne($0, sql: "SELECT count(*) FROM effect") }) { $0 == 200 }
            try await database.waitForBacklog(of: 0)
        }
        let effects = try await Self.effects(in: database)
        #expect(effects.count == 200)
        #expect(Set(effects).count == 200)
        #expect(runs.count > 200)
    }

    @Test("While another connection has locked the database, performOnce defers the event without an attempt")
    func locked() async throws {
        let file = try DatabaseFile()
        let other = try file.open()
        let database = try DatabaseQueue(path: file.path)
        let clock = ManualClock()
        // The clock may pass any limit while a call of the database takes its time.
        let broker = InMemoryBroker(configuration: .init(consumerTimeout: nil), clock: clock)
        let bus = EventBus(transport: .inMemory(broker))
        let inbox = SQLiteInbox(database: database, bus: bus)
        let (attempts, done) = (Collected<Int>(), Collected<Int>())
        let options = SubscriptionOptions(retry: .fixed(.seconds(1), maximumAttempts: 2), handlerTimeout: nil)
        bus.subscribe(to: NoteTaken.self, group: "g", options: options) { note, context in
            attempts.add(context.attempt)
            try await inbox.performOnce(context) { _ in done.add(note.number) }
        }
        try await bus.withRunning {
            let (isLocked, mayGo) = (Signal(), DispatchSemaphore(value: 0))
            async let lock: Void = other.write { _ in
                isLocked.raise()
                mayGo.wait()
            }
            try await isLocked.wait()
            try await bus.publish(NoteTaken(number: 1))
            while attempts.count < 5, try await bus.deadLetters(of: "g").count() == 0 {
                clock.advance(by: .seconds(1))
                await Task.yield()
            }
            mayGo.signal()
            try await lock
            try await broker.settled()
        }
        #expect(done.all == [1])
        #expect(Set(attempts.all) == [1])
        #expect(try await bus.deadLetters(of: "g").count() == 0)
    }

    @Test("An error of the handler's own statement is thrown unchanged, and one about the file as an outage")
    func whoseError() async throws {
        let database = try Self.ledger()
        let inbox = SQLiteInbox(database: database)
        for (code, isOutage) in [
            (ResultCode.SQLITE_CONSTRAINT_UNIQUE, false), (.SQLITE_ERROR, false), (.SQLITE_FULL, true),
            (.SQLITE_IOERR_WRITE, true), (.SQLITE_BUSY_SNAPSHOT, true),
        ] {
            let outcome = try await database.write { db in
                Result {
                    try inbox.performOnce(Self.key(EventID()), in: db) { _ in throw DatabaseError(resultCode: code) }
                }
            }
            let error = #expect(throws: (any Error).self) { try outcome.get() }
            #expect((error as? EventBusError)?.code == (isOutage ? .unavailable : nil))
            #expect((error as? DatabaseError)?.extendedResultCode == (isOutage ? nil : code))
        }
        // Without its table, the inbox is at fault and not the event.
        try await database.write { try $0.execute(sql: "DROP TABLE eventbus_inbox") }
        let outcome = try await database.write { db in
            Result { try inbox.performOnce(Self.key(EventID()), in: db) { _ in } }
        }
        let error = #expect(throws: EventBusError.self) { try outcome.get() }
        #expect(error?.code == .unavailable)
    }

    @Test("performOnce counts and logs the duplicates that it suppresses, and warns of those with another payload")
    func suppressedDuplicates() async throws {
        let database = try makeDatabase()
        let (log, metrics) = (InMemoryLogHandler(), TestMetrics())
        let broker = InMemoryBroker(clock: ManualClock())
        var configuration = EventBusConfiguration()
        configuration.consumeMiddleware.append(MetricsMiddleware(factory: metrics))
        let bus = EventBus(
            transport: .inMemory(broker),
            configuration: configuration,
            logger: Logger(label: "test") { _ in log }
        )
        let inbox = SQLiteInbox(database: database, bus: bus)
        let done = Collected<Int>()
        bus.subscribe(to: NoteTaken.self, group: "g", options: .init(concurrency: 1)) { note, context in
            try await inbox.performOnce(context) { _ in done.add(note.number) }
        }
        try await bus.withRunning {
            for number in [1, 1, 2] { try await bus.publish(NoteTaken(number: number), options: .init(id: "x")) }
            try await broker.settled()
        }
        #expect(done.all == [1])
        #expect(log.entries.count { $0.message == "duplicate suppressed" } == 1)
        #expect(log.entries.count { $0.level == .warning && "\($0.message)".contains("another payload") } == 1)
        let labels = [("topic", "note.taken"), ("group", "g")]
        #expect(try metrics.expectCounter("eventbus.duplicates_suppressed", labels).totalValue == 1)
        #expect(try metrics.expectCounter("eventbus.duplicates_conflicting", labels).totalValue == 1)
        #expect(try metrics.expectCounter("eventbus.handled", labels + [("outcome", "success")]).totalValue == 1)
    }

    @Test(
        "On a manual clock an inbox takes over the claim of a killed consumer when its lease is over",
        arguments: [true, false]
    )
    func killedConsumer(knowsBus: Bool) async throws {
        let database = try makeDatabase()
        let clock = ManualClock()
        let broker = InMemoryBroker(clock: clock)
        let bus = EventBus(transport: .inMemory(broker))
        let inbox = knowsBus ? SQLiteInbox(database: database, bus: bus) : SQLiteInbox(database: database)
        let done = Collected<Int>()
        bus.subscribe(to: NoteTaken.self, group: "g", name: "h", options: .init(inbox: inbox)) { note, _ in
            done.add(note.number)
        }
        _ = try await inbox.begin(Self.key("x"), lease: .seconds(30))
        try await bus.withRunning {
            try await bus.publish(NoteTaken(number: 1), options: .init(id: "x"))
            try await broker.settled()
        }
        #expect(done.all == [1])
        #expect(clock.now.offset < .seconds(60))
    }

    @Test("performOnce keeps its record for the retention on the manual clock of the handler's bus")
    func retentionOfHandler() async throws {
        let clock = ManualClock()
        let broker = InMemoryBroker(clock: clock)
        let bus = EventBus(transport: .inMemory(broker))
        let inbox = SQLiteInbox(database: try makeDatabase())
        let done = Collected<Int>()
        bus.subscribe(to: NoteTaken.self, group: "g") { note, context in
            try await inbox.performOnce(context, retention: .seconds(60)) { _ in done.add(note.number) }
        }
        try await bus.withRunning {
            for expected in [1, 1, 2] {
                try await bus.publish(NoteTaken(number: 1), options: .init(id: "x"))
                try await broker.settled()
                #expect(done.count == expected)
                clock.advance(by: .seconds(31))
            }
        }
    }

    @Test("A claim of the bus and a record in the handler's transaction are compatible")
    func claimedAndPerformed() async throws {
        let database = try makeDatabase()
        let inbox = SQLiteInbox(database: database)
        let id = EventID()
        guard case .new(let claim) = try await inbox.begin(Self.key(id), lease: .seconds(60)) else {
            Issue.record("an event that was never seen is not new")
            return
        }
        let done = try await database.write { db in
            try inbox.performOnce(Self.key(id), in: db) { _ in true }
        }
        #expect(done == true)
        try await inbox.complete(claim, retention: .seconds(60))
        try await inbox.abandon(claim)
        #expect(try await inbox.begin(Self.key(id), lease: .seconds(60)) == .completed)
    }

    @Test("Records are kept for their retention, and deleted afterwards")
    func retention() async throws {
        let database = try makeDatabase()
        let clock = ManualClock()
        let inbox = SQLiteInbox(database: database, clock: clock)
        for number in 0..<100 {
            try await database.write { db in
                _ = try inbox.performOnce(
                    Self.key(EventID("\(number)")),
                    retention: .seconds(60),
                    in: db
                ) { _ in }
            }
        }
        clock.advance(by: .seconds(59))
        #expect(try await inbox.begin(Self.key("0"), lease: .seconds(1)) == .completed)
        clock.advance(by: .seconds(1))
        guard case .new = try await inbox.begin(Self.key("0"), lease: .seconds(1)) else {
            Issue.record("a record outlived its retention")
            return
        }
        for number in 1...5 {
            _ = try await inbox.begin(Self.key(EventID("new-\(number)")), lease: .seconds(1))
        }
        let left = try await database.read { try Int.fetchOne($0, sql: "SELECT count(*) FROM eventbus_inbox") }
        #expect(left == 6)
    }

    @Test("A record or claim of the first release matches every topic after the migration")
    func migration() async throws {
        let database = try DatabaseQueue()
        try await database.write { db in
            try InboxSchema.createV1(in: db)
            let later = EventTime.now().milliseconds + 3_600_000
            try db.execute(
                sql: """
                    INSERT INTO eventbus_inbox (subscription, event_id, fence, is_completed, ends_at)
                    VALUES ('g.h', 'done', 1, 1, ?), ('g.h', 'claimed', 2, 0, ?)
                    """,
                arguments: [later, later]
            )
            try db.execute(sql: "INSERT INTO eventbus_inbox_fence VALUES (1, 2)")
        }
        for _ in 0..<2 { try await database.write { try SQLiteInbox.createTables(in: $0) } }
        let inbox = SQLiteInbox(database: database)
        for topic in ["note.taken", "note.lost"] as [Topic] {
            #expect(try await inbox.begin(Self.key("done", topic: topic), lease: .seconds(30)) == .completed)
            let claimed = try await inbox.begin(Self.key("claimed", topic: topic), lease: .seconds(30))
            guard case .inProgress = claimed else {
                Issue.record("the claim of the first release was lost")
                return
            }
        }
        guard case .new(let claim) = try await inbox.begin(Self.key("fresh"), lease: .seconds(30)) else {
            Issue.record("an event that was never seen is not new")
            return
        }
        #expect(claim.fence > 2)
        // An instance of the first release still writes.
        try await database.write { db in
            try db.execute(
                sql: """
                    INSERT OR REPLACE INTO eventbus_inbox (subscription, event_id, fence, is_completed, ends_at)
                    VALUES ('g.h', 'done', 9, 1, ?)
                    """,
                arguments: [EventTime.now().milliseconds + 3_600_000]
            )
        }
    }

    @Test("A claim that ends later than its lease allows, because the clock was set back, ends one lease from now")
    func clockSetBack() async throws {
        let database = try makeDatabase()
        let clock = ManualClock()
        let inbox = SQLiteInbox(database: database, clock: clock)
        _ = try await inbox.begin(Self.key("e"), lease: .seconds(30))
        try await database.write { try $0.execute(sql: "UPDATE eventbus_inbox SET ends_at = ends_at + 3600000") }
        guard case .inProgress(let retryAfter) = try await inbox.begin(Self.key("e"), lease: .seconds(5)) else {
            Issue.record("the claim was lost")
            return
        }
        #expect(retryAfter == .seconds(30))
        clock.advance(by: .seconds(31))
        guard case .new = try await inbox.begin(Self.key("e"), lease: .seconds(5)) else {
            Issue.record("the event waits until the clock has caught up")
            return
        }
    }

    @Test("The time is read inside the transaction, however long the transaction waited")
    func timeWithinTransaction() async throws {
        let database = try makeDatabase()
        let clock = ManualClock()
        let inbox = SQLiteInbox(database: database, clock: clock)
        let decision = try await withThrowingTaskGroup(of: InboxDecision.self) { group in
            let isBusy = Signal()
            let mayGo = DispatchSemaphore(value: 0)
            async let busy: Void = database.writeWithoutTransaction { _ in
                isBusy.raise()
                mayGo.wait()
            }
            try await isBusy.wait()
            let isAsked = Signal()
            group.addTask {
                isAsked.raise()
                return try await inbox.begin(Self.key("e"), lease: .seconds(30))
            }
            // The claim's transaction is waiting or about to wait. Either way it begins after the clock was changed.
            try await isAsked.wait()
            clock.advance(by: .seconds(60))
            mayGo.signal()
            try await busy
            return try #require(try await group.next())
        }
        guard case .new(let claim) = decision else {
            Issue.record("an event that was never seen is not new")
            return
        }
        try await inbox.renew(claim, lease: .seconds(30))
    }

    @Test(
        "Whatever a row of the inbox contains, its event is new, handled or claimed",
        arguments: ["event_id", "topic", "fence", "is_completed", "ends_at", "lease"]
    )
    func rowsThatHoldAnything(column: String) async throws {
        let database = try makeDatabase()
        let clock = ManualClock()
        let inbox = SQLiteInbox(database: database, clock: clock)
        for value in RelayInTroubleSuite.FuzzTests.values {
            for isCompleted in [true, false] {
                let key = Self.key(EventID())
                guard case .new(let claim) = try await inbox.begin(key, lease: .seconds(30)) else {
                    Issue.record("an event that was never seen is not new")
                    return
                }
                if isCompleted { try await inbox.complete(claim, retention: .seconds(3600)) }
                try await database.write { db in
                    try? db.execute(
                        sql: "UPDATE eventbus_inbox SET \(column) = \(value) WHERE event_id = ?",
                        arguments: [key.eventID.rawValue]
                    )
                }
                if case .new(let claim) = try await inbox.begin(key, lease: .seconds(30)) {
                    try await inbox.renew(claim, lease: .seconds(30))
                    try await inbox.complete(claim, retention: .seconds(3600))
                    #expect(try await inbox.begin(key, lease: .seconds(30)) == .completed)
                }
            }
        }
    }

    @Test("Whatever the row of the fences contains, claims differ", arguments: RelayInTroubleSuite.FuzzTests.values)
    func fencesThatAreNone(value: String) async throws {
        let database = try makeDatabase()
        let inbox = SQLiteInbox(database: database)
        func claim() async throws -> UInt64? {
            guard case .new(let claim) = try await inbox.begin(Self.key(EventID()), lease: .seconds(30)) else {
                return nil
            }
            return claim.fence
        }
        _ = try await claim()
        try await database.write { db in try? db.execute(sql: "UPDATE eventbus_inbox_fence SET last = \(value)") }
        let claims = [try await claim(), try await claim(), try await claim()]
        #expect(Set(claims.compactMap(\.self)).count == 3)
    }

    @Test("An unusable database is an error with a code")
    func unavailable() async throws {
        let inbox = SQLiteInbox(database: try DatabaseQueue())
        let error = await #expect(throws: EventBusError.self) {
            try await inbox.begin(Self.key(EventID()), lease: .seconds(1))
        }
        #expect(error?.code == .unavailable)
    }
}

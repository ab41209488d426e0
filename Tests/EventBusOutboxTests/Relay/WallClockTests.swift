import EventBus
import EventBusInMemory
import EventBusTesting
import GRDB
import MetricsTestKit
import Testing

@testable import EventBusOutbox

extension RelayInTroubleSuite {
    @Suite("The outbox and the time of day", .timeLimit(.minutes(2)))
    struct WallClockTests {
        @Test("When the wall clock is set back by an hour, retries do not wait for it")
        func setBack() async throws {
            let database = try makeDatabase()
            let clock = ManualClock()
            let isRefused = Locked(true)
            let transport = ScriptedTransport(InMemoryBroker(clock: clock)) { envelope in
                envelope.partitionKey == "k" && isRefused.withLock { $0 }
                    ? .error(EventBusError(.rejected, "full")) : nil
            }
            let bus = EventBus(transport: transport)
            let outbox = Outbox(bus: bus)
            let recorder = EventRecorder()
            bus.subscribe(to: OrderPlaced.self, group: "g", options: .init(middleware: [recorder])) { _, _ in }
            let correction = Locked(Duration.zero)
            let dayTime = WallClock(bus.clock)
            let relay = OutboxRelay(
                database: database,
                bus: bus,
                configuration: .init(),
                logger: .quiet,
                metrics: TestMetrics(),
                wallClock: WallClock { dayTime.now + correction.withLock { $0 } }
            )
            try await running(bus, relay) {
                try await database.write { db in
                    for key in ["k", "other"] {
                        for number in 1...2 { try outbox.publish(OrderPlaced(orderID: key, number: number), in: db) }
                    }
                }
                _ = try await recorder.waitForHandled(OrderPlaced.self, count: 2)
                try await database.wait(for: { try Int.fetchOne($0, sql: "SELECT max(due_at) FROM eventbus_outbox") }) {
                    ($0 ?? 0) > 0
                }
                correction.withLock { $0 = .seconds(-3600) }
                isRefused.withLock { $0 = false }
                let handled = Task { try await recorder.waitForHandled(OrderPlaced.self, count: 4) }
                // Long before the hour ends.
                var waited = 0
                while try await !database.waiting().isEmpty, waited < 600 {
                    clock.advance(by: .seconds(1))
                    waited += 1
                    await relay.rest()
                }
                #expect(waited < 600)
                _ = try await handled.value
            }
        }

        @Test("A stored time that is further ahead than possible, or is not a time, counts as due")
        func impossibleTimes() throws {
            let database = try makeDatabase()
            let now = EventTime(milliseconds: 1_000_000_000)
            let envelope = Envelope(topic: "t", payload: [])
            try database.write { db in
                for _ in 1...6 {
                    try OutboxStatements.insert(
                        envelope,
                        storedAt: now,
                        deliverAt: nil,
                        requiresSubscriber: false,
                        in: db
                    )
                }
                let values = ["\(now.milliseconds + 3_600_000)", "9223372036854775807", "-5", "'x'", "x'00'", "1e300"]
                for (index, value) in values.enumerated() {
                    try db.execute(sql: "UPDATE eventbus_outbox SET due_at = \(value) WHERE sequence = \(index + 1)")
                }
                try OutboxStatements.repairValues(now: now, maximumInterval: .seconds(120), in: db)
                let taking = try OutboxStatements.take(
                    limit: 100,
                    depth: 1,
                    excluding: [],
                    terms: .init(now: now),
                    in: db
                )
                #expect(taking.runs.count == 6)
            }
        }

        @Test("A delay that was stored before the clock was set back continues with the remaining time")
        func delayFromTheFuture() throws {
            let database = try makeDatabase()
            let (now, hour) = (EventTime(milliseconds: 1_000_000_000_000), Duration.seconds(3600))
            try database.write { db in
                try OutboxStatements.insert(
                    Envelope(topic: "t", payload: []),
                    storedAt: now + hour * 1000,
                    deliverAt: now + hour * 1072,
                    readyAt: now + hour * 1043,
                    requiresSubscriber: false,
                    in: db
                )
                try OutboxStatements.repairValues(now: now, maximumInterval: .seconds(120), in: db)
                let terms = ReadingTerms(now: now + hour * 43, maximumDelay: hour * 29)
                let taken = try OutboxStatements.take(limit: 10, depth: 1, excluding: [], terms: terms, in: db).runs
                    .joined()
                #expect(taken.map { $0.delay(at: now + hour * 43) } == [hour * 29])
            }
            // Even if it was sent directly to the broker, the delay is never longer than it was.
            let event = StoredEvent(
                sequence: 1,
                envelope: Envelope(topic: "t", payload: []),
                storedAt: now + hour,
                deliverAt: now + hour + .seconds(60)
            )
            #expect(event.delay(at: now) == .seconds(60))
        }

        @Test(
            "A delayed event whose time of storage is not a time is read at once and parked",
            arguments: ["'x'", "x'00'", "''", "'1e300'"]
        )
        func delayOfNoTime(value: String) throws {
            let database = try makeDatabase()
            let (now, hour) = (EventTime(milliseconds: 1_000_000_000_000), Duration.seconds(3600))
            try database.write { db in
                try OutboxStatements.insert(
                    Envelope(topic: "t", payload: []),
                    storedAt: now,
                    deliverAt: now + hour * 72,
                    readyAt: now + hour * 43,
                    requiresSubscriber: false,
                    in: db
                )
                try db.execute(sql: "UPDATE eventbus_outbox_delayed SET stored_at = \(value)")
                try OutboxStatements.repairValues(now: now, maximumInterval: .seconds(120), in: db)
                let stored = try Row.fetchOne(db, sql: "SELECT ready_at, deliver_at FROM eventbus_outbox_delayed")
                let row = try #require(stored)
                let (readyAt, deliverAt): (Int64, Int64) = (row["ready_at"], row["deliver_at"])
                #expect(readyAt <= now.milliseconds)
                #expect(deliverAt == (now + hour * 72).milliseconds)
                _ = try OutboxStatements.returnWaiting(busy: [], now: now, in: db)
                let terms = ReadingTerms(now: now, maximumDelay: hour * 29)
                let taking = try OutboxStatements.take(limit: 10, depth: 1, excluding: [], terms: terms, in: db)
                #expect(taking.runs.isEmpty)
                let parked = try OutboxStatements.parked(limit: 10, in: db)
                #expect(parked.map(\.failure.reason) == [.undecodable])
            }
        }

        @Test("A lease of another length than one's own is valid as long as it states")
        func longerLease() throws {
            let database = try makeDatabase()
            let now = EventTime(milliseconds: 1_000_000_000)
            try database.write { db in
                _ = try OutboxStatements.acquire("patient", duration: .seconds(60), now: now, in: db)
                #expect(try OutboxStatements.acquire("hasty", duration: .seconds(2), now: now, in: db) == nil)
                #expect(
                    try OutboxStatements.acquire("hasty", duration: .seconds(2), now: now + .seconds(59), in: db) == nil
                )
                #expect(
                    try OutboxStatements.acquire("hasty", duration: .seconds(2), now: now + .seconds(60), in: db) != nil
                )
            }
        }

        @Test("A relay that waited for its transaction does not take a lease that was renewed meanwhile")
        func waitsForTransaction() async throws {
            let file = try DatabaseFile()
            let first = try file.open()
            let isWaiting = Signal()
            var configuration = GRDB.Configuration()
            configuration.busyMode = .callback { _ in
                isWaiting.raise()
                return true
            }
            let second = try DatabasePool(path: file.path, configuration: configuration)
            let time = Locked(EventTime(milliseconds: 1_000_000_000))
            let standby = SQLiteOutboxStore(
                writer: second,
                settings: StoreSettings(
                    .with { $0.leaseDuration = .seconds(2) }.corrected,
                    maximumDelay: .seconds(100),
                    wallClock: WallClock { time.withLock { $0 } }
                )
            )
            let isHeld = Signal()
            let holding = Task {
                try await first.write { db -> Bool in
                    isHeld.raise()
                    while !isWaiting.isRaised {}
                    // Five seconds later the other one renews its lease.
                    let now = time.withLock { time in
                        time = time + .seconds(5)
                        return time
                    }
                    return try OutboxStatements.acquire("leader", duration: .seconds(2), now: now, in: db) != nil
                }
            }
            try await isHeld.wait()
            let request = ExchangeRequest(settlement: Settlement(), busy: [], room: Room(events: 10))
            #expect(try await standby.exchange(request) == nil)
            #expect(try await holding.value)
        }

        @Test("No arithmetic on times traps")
        func extremes() {
            let times = [Int64.min, -1, 0, 1, .max].map(EventTime.init(milliseconds:))
            let durations = [
                Duration.seconds(Int64.max), .seconds(Int64.min), .zero, .seconds(-1), .seconds(9_223_372_036_854_775),
                .milliseconds(Int64.max), .nanoseconds(1),
            ]
            for time in times {
                for duration in durations { _ = (time + duration, time - duration) }
                for other in times { _ = time.since(other) }
            }
            #expect(EventTime(milliseconds: .max) + .seconds(1) == EventTime(milliseconds: .max))
            #expect(EventTime(milliseconds: .min) + .seconds(-1) == EventTime(milliseconds: .min))
            #expect(EventTime(milliseconds: 5) + .nanoseconds(1) == EventTime(milliseconds: 6))
        }
    }
}

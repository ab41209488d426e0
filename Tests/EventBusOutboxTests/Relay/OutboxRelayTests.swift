import EventBus
import EventBusInMemory
import EventBusTesting
import GRDB
import Testing

@testable import EventBusOutbox

@Suite("The relay", .timeLimit(.minutes(2)))
struct OutboxRelayTests {
    @Test("A commit wakes the relay without waiting")
    func wokenByCommit() async throws {
        let database = try makeDatabase()
        let clock = ManualClock()
        let bus = EventBus(transport: .inMemory(InMemoryBroker(clock: clock)))
        let outbox = Outbox(bus: bus)
        let recorder = EventRecorder()
        bus.subscribe(to: NoteTaken.self, group: "g", options: .init(middleware: [recorder])) { _, _ in }
        try await running(bus, OutboxRelay(database: database, bus: bus)) {
            for number in 1...20 {
                try await database.write { db in _ = try outbox.publish(NoteTaken(number: number), in: db) }
                _ = try await recorder.waitForHandled(NoteTaken.self, count: number)
            }
        }
        #expect(clock.now.offset == .zero)
    }

    @Test("Events that another connection has stored are found by polling")
    func findsByPolling() async throws {
        let file = try DatabaseFile()
        let (mine, foreign) = (try file.open(), try file.open())
        let clock = ManualClock()
        let bus = EventBus(transport: .inMemory(InMemoryBroker(clock: clock)))
        let outbox = Outbox(bus: bus)
        let recorder = EventRecorder()
        bus.subscribe(to: NoteTaken.self, group: "g", options: .init(middleware: [recorder])) { _, _ in }
        try await running(bus, OutboxRelay(database: mine, bus: bus)) {
            try await clock.sleeper(dueBy: .init(offset: .seconds(1)))
            try await foreign.write { db in _ = try outbox.publish(NoteTaken(number: 1), in: db) }
            #expect(recorder.settled.isEmpty)
            clock.advance(by: .seconds(1))
            _ = try await recorder.waitForHandled(NoteTaken.self)
        }
    }

    @Test("Events of one key arrive in the order in which they were stored", arguments: [1, 7, 500])
    func keepsOrder(batchSize: Int) async throws {
        let database = try makeDatabase()
        let bus = EventBus(transport: .inMemory())
        let outbox = Outbox(bus: bus)
        let arrived = Collected<OrderPlaced>()
        let recorder = EventRecorder()
        bus.subscribe(
            to: OrderPlaced.self,
            group: "g",
            options: .init(concurrency: 50, ordering: .byPartitionKey, middleware: [recorder])
        ) { order, _ in
            arrived.add(order)
        }
        let relay = OutboxRelay(database: database, bus: bus, configuration: .with { $0.batchSize = batchSize })
        try await running(bus, relay) {
            // A key with more events than are read together, and several keys with few.
            for part in 0..<10 {
                try await database.write { db in
                    for number in 0..<60 {
                        try outbox.publish(OrderPlaced(orderID: "hot", number: part * 60 + number), in: db)
                        let other = OrderPlaced(orderID: "key-\(number % 20)", number: part * 60 + number)
                        try outbox.publish(other, in: db)
                    }
                }
            }
            _ = try await recorder.waitForHandled(OrderPlaced.self, count: 1200, within: .seconds(60))
        }
        let byKey = Dictionary(grouping: arrived.all, by: \.orderID).mapValues { $0.map(\.number) }
        #expect(byKey.count == 21)
        #expect(byKey["hot"] == Array(0..<600))
        for numbers in byKey.values { #expect(numbers == numbers.sorted()) }
        #expect(arrived.count == 1200)
    }

    @Test("A failing key delays only its own events")
    func failingKey() async throws {
        let database = try makeDatabase()
        let clock = ManualClock()
        let isBroken = Locked(true)
        let bus = EventBus(
            transport: .inMemory(InMemoryBroker(clock: clock)),
            configuration: .refusing { envelope in
                envelope.partitionKey == "bad" && isBroken.withLock { $0 }
                    && envelope.payload.contains(UInt8(ascii: "0"))
                    ? Broken() : nil
            }
        )
        let outbox = Outbox(bus: bus)
        let arrived = Collected<OrderPlaced>()
        let recorder = EventRecorder()
        bus.subscribe(
            to: OrderPlaced.self,
            group: "g",
            options: .init(ordering: .byPartitionKey, middleware: [recorder])
        ) { order, _ in
            arrived.add(order)
        }
        let relay = OutboxRelay(
            database: database,
            bus: bus,
            configuration: .with { $0.retry = .fixed(.seconds(60), maximumAttempts: 5) }
        )
        try await database.write { db in
            for number in 0..<4 {
                try outbox.publish(OrderPlaced(orderID: "bad", number: number), in: db)
                try outbox.publish(OrderPlaced(orderID: "good", number: number), in: db)
            }
        }
        try await running(bus, relay) {
            _ = try await recorder.waitForHandled(OrderPlaced.self, count: 4)
            try await database.waitForBacklog(of: 4)
            #expect(arrived.all.allSatisfy { $0.orderID == "good" })
            isBroken.withLock { $0 = false }
            clock.advance(by: .seconds(60))
            _ = try await recorder.waitForHandled(OrderPlaced.self, count: 8)
        }
        #expect(arrived.all.suffix(4).map(\.number) == [0, 1, 2, 3])
    }

    @Test("On request it drops events without a subscriber, except if the event itself requires one")
    func subscriberNotRequired() async throws {
        let database = try makeDatabase()
        let bus = EventBus(transport: .inMemory())
        let outbox = Outbox(bus: bus)
        let relay = OutboxRelay(database: database, bus: bus, configuration: .with { $0.requiresSubscriber = false })
        try await running(bus, relay) {
            try await database.write { db in
                try outbox.publish(NoteTaken(number: 1), in: db)
                try outbox.publish(NoteTaken(number: 2), options: .init(requiresSubscriber: true), in: db)
            }
            try await database.wait(for: { try outbox.backlog(in: $0) }) { $0.count == 1 && $0.withoutSubscriber == 1 }
        }
        let payloads = try await database.read {
            try String.fetchAll($0, sql: "SELECT payload FROM eventbus_outbox_unrouted")
        }
        #expect(payloads == [#"{"number":2}"#])
    }

    @Test("An event that cannot be published is parked with the reason after its attempts, and later ones proceed")
    func poison() async throws {
        let database = try makeDatabase()
        let clock = ManualClock()
        let isBroken = Locked(true)
        let bus = EventBus(
            transport: .inMemory(InMemoryBroker(clock: clock)),
            configuration: .refusing { envelope in
                isBroken.withLock { $0 } && envelope.payload.contains(UInt8(ascii: "7"))
                    ? EventBusError(.unsupported, "broken") : nil
            }
        )
        let outbox = Outbox(bus: bus)
        let recorder = EventRecorder()
        let options = SubscriptionOptions(ordering: .byPartitionKey, middleware: [recorder])
        bus.subscribe(to: OrderPlaced.self, group: "g", options: options) { _, _ in }
        let relay = OutboxRelay(
            database: database,
            bus: bus,
            configuration: .with { $0.retry = .fixed(.seconds(3), maximumAttempts: 3) }
        )
        try await running(bus, relay) {
            try await database.write { db in
                for number in [7, 8, 9] { try outbox.publish(OrderPlaced(orderID: "k", number: number), in: db) }
            }
            for attempts in 1...2 {
                try await database.wait(for: { try Int.fetchOne($0, sql: "SELECT max(attempts) FROM eventbus_outbox") })
                {
                    $0 == attempts
                }
                #expect(recorder.settled.isEmpty)
                clock.advance(by: .seconds(3))
            }
            let later = try await recorder.waitForHandled(OrderPlaced.self, count: 2)
            #expect(later.map(\.number) == [8, 9])
            try await database.waitForBacklog(of: 0)

            let parked = try await database.read { try outbox.parked(in: $0) }
            #expect(parked.count == 1)
            let event = try #require(parked.first)
            #expect(event.failure.reason == .attemptsExhausted)
            #expect(event.failure.attempt == 3)
            #expect(event.failure.message == "unsupported: broken")
            #expect(event.envelope?.partitionKey == "k")

            isBroken.withLock { $0 = false }
            #expect(try await database.write { try outbox.replay(event.id, in: $0) })
            let all = try await recorder.waitForHandled(OrderPlaced.self, count: 3)
            #expect(all.map(\.number) == [8, 9, 7])
            #expect(try await database.write { try outbox.replay(event.id, in: $0) } == false)
        }
    }

    @Test("A row without an event is parked, can be discarded, and delays nothing")
    func unreadableRow() async throws {
        let database = try makeDatabase()
        let bus = EventBus(transport: .inMemory())
        let outbox = Outbox(bus: bus)
        let recorder = EventRecorder()
        bus.subscribe(to: OrderPlaced.self, group: "g", options: .init(middleware: [recorder])) { _, _ in }
        try await running(bus, OutboxRelay(database: database, bus: bus)) {
            try await database.write { db in
                for number in 1...3 { try outbox.publish(OrderPlaced(orderID: "k", number: number), in: db) }
                try db.execute(sql: "UPDATE eventbus_outbox SET topic = 'not a topic' WHERE sequence = 1")
                try db.execute(sql: "UPDATE eventbus_outbox SET version = 'x' WHERE sequence = 2")
            }
            let handled = try await recorder.waitForHandled(OrderPlaced.self)
            #expect(handled.map(\.number) == [3])
            let parked = try await database.read { try outbox.parked(in: $0) }
            #expect(parked.map(\.failure.reason) == [.undecodable, .undecodable])
            #expect(parked.allSatisfy { $0.envelope == nil })
            let wasThere = try await database.write { db in
                (try outbox.discard(1, in: db), try outbox.discard(1, in: db))
            }
            #expect(wasThere == (true, false))
            #expect(try await database.read { try outbox.backlog(in: $0) }.parked == 1)
        }
    }

    @Test("While the broker accepts nothing, events wait without using up attempts, and health reports it")
    func outage() async throws {
        let database = try makeDatabase()
        let clock = ManualClock()
        let isDown = Locked(true)
        let tries = Collected<EventID>()
        let bus = EventBus(
            transport: .inMemory(InMemoryBroker(clock: clock)),
            configuration: .refusing { envelope in
                guard isDown.withLock({ $0 }) else { return nil }
                tries.add(envelope.id)
                return EventBusError(.timedOut, "no broker")
            }
        )
        let outbox = Outbox(bus: bus)
        let recorder = EventRecorder()
        let inOrder = SubscriptionOptions(ordering: .byPartitionKey, middleware: [recorder])
        bus.subscribe(to: OrderPlaced.self, group: "g", options: inOrder) { _, _ in }
        let relay = OutboxRelay(
            database: database,
            bus: bus,
            configuration: .with { $0.retry = .fixed(.seconds(1), maximumAttempts: 2) }
        )
        #expect(relay.health().status == .notReady)
        try await running(bus, relay) {
            try await database.write { db in
                for number in 0..<20 {
                    try outbox.publish(OrderPlaced(orderID: "\(number % 5)", number: number), in: db)
                }
            }
            // The batch of five first events, then single ones, more often than the number of attempts.
            while tries.count < 15 || relay.health().reason?.contains("no broker") != true {
                clock.advance(by: .seconds(1))
                await Task.yield()
            }
            #expect(try await database.read { try outbox.backlog(in: $0) }.count == 20)
            #expect(try await database.read { try outbox.backlog(in: $0) }.parked == 0)
            isDown.withLock { $0 = false }
            let handled = Task { try await recorder.waitForHandled(OrderPlaced.self, count: 20) }
            while try await database.read({ try outbox.backlog(in: $0) }).count > 0 {
                clock.advance(by: .seconds(1))
                await Task.yield()
            }
            _ = try await handled.value
            #expect(relay.health().status == .ready)
        }
        let byKey = Dictionary(grouping: try recorder.handled(OrderPlaced.self), by: \.orderID)
        for orders in byKey.values { #expect(orders.map(\.number) == orders.map(\.number).sorted()) }
        #expect(relay.health().reason == "shut down")
    }

    @Test("With any faults of the broker, nothing is lost", arguments: [1, 2, 3] as [UInt64])
    func faultyBroker(seed: UInt64) async throws {
        let database = try makeDatabase()
        let bus = EventBus(transport: .inMemory(InMemoryBroker(faults: FaultPlan(seed: seed))))
        let outbox = Outbox(bus: bus)
        let handled = Collected<OrderPlaced>()
        let missing = Locked(Set(0..<500))
        let isComplete = Signal()
        bus.subscribe(
            to: OrderPlaced.self,
            group: "g",
            options: .init(retry: .fixed(.milliseconds(1), maximumAttempts: 9))
        ) {
            order,
            _ in
            handled.add(order)
            let isLast = missing.withLock { missing in
                missing.remove(order.number) != nil && missing.isEmpty
            }
            if isLast { isComplete.raise() }
        }
        try await running(bus, OutboxRelay(database: database, bus: bus, configuration: .with { $0.batchSize = 20 })) {
            try await database.write { db in
                for number in 0..<500 {
                    try outbox.publish(OrderPlaced(orderID: "\(number % 50)", number: number), in: db)
                }
            }
            try await isComplete.wait()
            try await database.waitForBacklog(of: 0)
        }
        #expect(Set(handled.all.map(\.number)) == Set(0..<500))
    }

    @Test("A graceful shutdown finishes the batches in flight and leaves the rest")
    func shutdownMidBatch() async throws {
        let database = try makeDatabase()
        let (isUnderWay, mayGoOn) = (Signal(), Signal())
        // On a manual clock, because further batches start when others have been in flight for long.
        let transport = ScriptedTransport(InMemoryBroker(clock: ManualClock())) { _ in nil }
        let bus = EventBus(
            transport: transport,
            configuration: .refusing { _ in
                isUnderWay.raise()
                try? await mayGoOn.wait()
                return nil
            }
        )
        let outbox = Outbox(bus: bus)
        bus.subscribe(to: NoteTaken.self, group: "g") { _, _ in }
        let relay = OutboxRelay(database: database, bus: bus, configuration: .with { $0.batchSize = 10 })
        try await database.write { db in
            for number in 0..<100 { try outbox.publish(NoteTaken(number: number), in: db) }
        }
        let opening = Task {
            // The batches end only after the shutdown has begun.
            while relay.health().reason != "shutting down" { await Task.yield() }
            mayGoOn.raise()
        }
        try await running(bus, relay) {
            try await isUnderWay.wait()
        }
        await opening.value
        #expect(relay.health().reason == "shut down")
        let published = try transport.sent.all.map {
            try JSONEventCodec().decode(NoteTaken.self, from: $0.payload).number
        }
        let waiting = try await database.read {
            try Int.fetchAll($0, sql: "SELECT json_extract(payload, '$.number') FROM eventbus_outbox")
        }
        #expect([10, 20, 30].contains(published.count))
        #expect((published + waiting).sorted() == Array(0..<100))
        #expect(
            try await database.read { try Int.fetchOne($0, sql: "SELECT count(*) FROM eventbus_outbox_relay") } == 0
        )
    }

    @Test("A graceful shutdown writes its last outcomes although another process was writing")
    func shutdownWhileDatabaseIsBusy() async throws {
        let file = try DatabaseFile()
        let foreign = try file.open()
        let (isUnderWay, mayGoOn, isRefused) = (Signal(), Signal(), Signal())
        var settings = GRDB.Configuration()
        settings.busyMode = .callback { _ in
            isRefused.raise()
            return false
        }
        let database = try DatabasePool(path: file.path, configuration: settings)
        let bus = EventBus(
            transport: .inMemory(InMemoryBroker(clock: ManualClock())),
            configuration: .refusing { _ in
                isUnderWay.raise()
                try? await mayGoOn.wait()
                return nil
            }
        )
        let outbox = Outbox(bus: bus)
        bus.subscribe(to: NoteTaken.self, group: "g") { _, _ in }
        let relay = OutboxRelay(database: database, bus: bus, logger: .quiet)
        try await database.write { db in _ = try outbox.publish(NoteTaken(number: 1), in: db) }
        let locking = Task {
            while relay.health().reason != "shutting down" { await Task.yield() }
            try await foreign.write { _ in
                mayGoOn.raise()
                while !isRefused.isRaised {}
            }
        }
        try await running(bus, relay) {
            try await isUnderWay.wait()
        }
        try await locking.value
        #expect(try await database.waiting().isEmpty)
    }

    @Test("A relay runs once")
    func runsOnce() async throws {
        let relay = OutboxRelay(database: try makeDatabase(), bus: EventBus(transport: .inMemory()))
        let run = Task { try await relay.run() }
        run.cancel()
        try await run.value
        let error = await #expect(throws: EventBusError.self) { try await relay.run() }
        #expect(error?.code == .alreadyRunning)
    }
}

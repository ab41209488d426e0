import EventBus
import EventBusInMemory
import EventBusTesting
import GRDB
import Testing

@testable import EventBusOutbox

extension RelayInTroubleSuite {
    @Suite("The relay and a refusing broker", .timeLimit(.minutes(3)))
    struct BrokerErrorsTests {
        static let errors: [any Error] =
            [
                .accessRefused, .notFound, .rejected, .unavailable, .blocked, .timedOut, .indeterminate, .topologyClash,
                .authenticationFailed, .shuttingDown, .unroutable, .remoteFailure,
            ].map { (code: EventBusError.Code) in EventBusError(code, "of the broker") } + [
                Broken(), CancellationError(),
            ]

        @Test("Small events do not wait for a large one whose body the store does not take")
        func silentStore() async throws {
            let database = try makeDatabase()
            let clock = ManualClock()
            let store = SilentStore()
            defer { store.mayAnswer.raise() }
            var configuration = EventBusConfiguration()
            configuration.claimCheck = ClaimCheck(store: store, threshold: 100)
            let transport = InMemoryTransport(broker: InMemoryBroker(clock: clock))
            let bus = EventBus(transport: transport, configuration: configuration)
            let outbox = Outbox(bus: bus)
            let recorder = EventRecorder()
            bus.subscribe(to: Letter.self, group: "g", options: .init(middleware: [recorder])) { _, _ in }
            let relay = OutboxRelay(database: database, bus: bus, logger: .quiet)
            try await running(bus, relay) {
                try await database.write { db in
                    try outbox.publish(Letter(text: "first"), in: db)
                    try outbox.publish(Letter(text: String(repeating: "x", count: 500)), in: db)
                    for number in 1...10 { try outbox.publish(Letter(text: "\(number)"), in: db) }
                }
                _ = try await recorder.waitForHandled(Letter.self, count: 11)
                #expect(clock.now.offset == .zero)
                store.mayAnswer.raise()
                _ = try await recorder.waitForHandled(Letter.self, count: 12)
            }
        }

        @Test(
            "Ten minutes of an error about the broker use no attempt and keep every key's order",
            arguments: errors.indices
        )
        func keepsEvents(index: Int) async throws {
            let error = Self.errors[index]
            let database = try makeDatabase()
            let clock = ManualClock()
            let isDown = Locked(true)
            let transport = ScriptedTransport(InMemoryBroker(clock: clock)) { _ in
                isDown.withLock { $0 } ? .error(error) : nil
            }
            let bus = EventBus(transport: transport)
            let outbox = Outbox(bus: bus)
            let recorder = EventRecorder()
            bus.subscribe(to: OrderPlaced.self, group: "g", options: .init(middleware: [recorder])) { _, _ in }
            bus.subscribe(to: NoteTaken.self, group: "g", options: .init(middleware: [recorder])) { _, _ in }
            let relay = OutboxRelay(database: database, bus: bus, logger: .quiet)
            try await running(bus, relay) {
                try await database.write { db in
                    for number in 1...6 {
                        for key in ["k", "l", "m"] {
                            try outbox.publish(OrderPlaced(orderID: key, number: number), in: db)
                        }
                    }
                    for number in 1...5 { try outbox.publish(NoteTaken(number: number), in: db) }
                }
                for _ in 1...600 {
                    clock.advance(by: .seconds(1))
                    await Task.yield()
                }
                while relay.health().reason?.contains("\(error)") != true { await Task.yield() }
                #expect(relay.health().status == .notReady)
                #expect(try await database.read { try outbox.backlog(in: $0) }.parked == 0)
                #expect(try await database.waiting().count == 23)
                isDown.withLock { $0 = false }
                let handled = Task { try await recorder.waitForHandled(OrderPlaced.self, count: 18) }
                try await database.drain(by: clock)
                _ = try await handled.value
                _ = try await recorder.waitForHandled(NoteTaken.self, count: 5)
                #expect(try await database.read { try outbox.backlog(in: $0) }.parked == 0)
                #expect(relay.health().status == .ready)
            }
            // In the order of sending, because the order of handling is undefined without lanes.
            var last: [String: Int] = [:]
            for envelope in transport.sent.all where envelope.topic == OrderPlaced.topic {
                let order = try JSONEventCodec().decode(OrderPlaced.self, from: envelope.payload)
                let before = last[order.orderID] ?? 1
                #expect(order.number == before || order.number == before + 1)
                last[order.orderID] = order.number
            }
            #expect(last == ["k": 6, "l": 6, "m": 6])
        }

        @Test("A key that the broker refuses delays no other, and continues in order afterwards")
        func refusedKey() async throws {
            let database = try makeDatabase()
            let clock = ManualClock()
            let isFull = Locked(true)
            let transport = ScriptedTransport(InMemoryBroker(clock: clock)) { envelope in
                envelope.partitionKey == "full" && isFull.withLock { $0 }
                    ? .error(EventBusError(.rejected, "the queue is full")) : nil
            }
            let bus = EventBus(transport: transport)
            let outbox = Outbox(bus: bus)
            let recorder = EventRecorder()
            bus.subscribe(to: OrderPlaced.self, group: "g", options: .init(middleware: [recorder])) { _, _ in }
            let relay = OutboxRelay(database: database, bus: bus, logger: .quiet)
            try await running(bus, relay) {
                try await database.write { db in
                    for number in 1...5 {
                        try outbox.publish(OrderPlaced(orderID: "full", number: number), in: db)
                        try outbox.publish(OrderPlaced(orderID: "good", number: number), in: db)
                    }
                }
                // The good ones need no time.
                _ = try await recorder.waitForHandled(OrderPlaced.self, count: 5)
                while relay.health().reason?.contains("the queue is full") != true { await Task.yield() }
                isFull.withLock { $0 = false }
                let all = Task { try await recorder.waitForHandled(OrderPlaced.self, count: 10) }
                try await database.drain(by: clock)
                _ = try await all.value
            }
            let full = try transport.sent.all.filter { $0.partitionKey == "full" }
                .map { try JSONEventCodec().decode(OrderPlaced.self, from: $0.payload).number }
            #expect(full == full.sorted())
            #expect(Set(full) == [1, 2, 3, 4, 5])
        }

        @Test("Events without an answer do not delay later ones")
        func silentEvents() async throws {
            // The unanswered ones are in flight when the relay stops.
            let ticking = Locked(Task<Void, Never>?.none)
            let database = try makeDatabase()
            let clock = ManualClock()
            let transport = ScriptedTransport(InMemoryBroker(clock: clock)) {
                $0.topic == NoteTaken.topic ? .silence : nil
            }
            let bus = EventBus(transport: transport)
            let outbox = Outbox(bus: bus)
            let recorder = EventRecorder()
            bus.subscribe(to: OrderPlaced.self, group: "g", options: .init(middleware: [recorder])) { _, _ in }
            let relay = OutboxRelay(database: database, bus: bus, logger: .quiet)
            try await running(bus, relay) {
                try await database.write { db in
                    for number in 1...50 { try outbox.publish(NoteTaken(number: number), in: db) }
                }
                while transport.sent.count < 50 { await Task.yield() }
                for number in 1...20 {
                    try await database.write { db in _ = try outbox.publish(OrderPlaced(orderID: "\(number)"), in: db) }
                    let handled = Task { try await recorder.waitForHandled(OrderPlaced.self, count: number) }
                    while recorder.settled.count < number {
                        clock.advance(by: .milliseconds(100))
                        await Task.yield()
                    }
                    _ = try await handled.value
                }
                #expect(try await database.read { try outbox.backlog(in: $0) }.parked == 0)
                ticking.withLock {
                    $0 = Task { while !Task.isCancelled { clock.advance(by: .seconds(1)); await Task.yield() } }
                }
            }
            ticking.withLock { $0?.cancel() }
        }

        @Test("A relay whose bus was shut down loses nothing, uses up no attempt, and ends on request")
        func busIsShutDown() async throws {
            let database = try makeDatabase()
            let clock = ManualClock()
            let bus = EventBus(transport: .inMemory(InMemoryBroker(clock: clock)))
            let outbox = Outbox(bus: bus)
            try await database.write { db in
                for number in 1...3 { try outbox.publish(OrderPlaced(orderID: "k", number: number), in: db) }
            }
            bus.shutdown()
            let relay = OutboxRelay(database: database, bus: bus, logger: .quiet)
            let run = Task { try await relay.run() }
            while relay.health().reason?.contains("shuttingDown") != true {
                clock.advance(by: .seconds(1))
                await Task.yield()
            }
            run.cancel()
            try await run.value
            let attempts = try await database.read { try Int.fetchAll($0, sql: "SELECT attempts FROM eventbus_outbox") }
            #expect(attempts == [0, 0, 0])
            // Immediately, by the next relay.
            let due = try await database.read {
                try Int.fetchAll($0, sql: "SELECT sequence FROM eventbus_outbox WHERE due_at = 0")
            }
            #expect(due == [1])
        }

        @Test("A relay that runs before its bus publishes once the bus runs")
        func runsBeforeBus() async throws {
            let database = try makeDatabase()
            let clock = ManualClock()
            let bus = EventBus(transport: .inMemory(InMemoryBroker(clock: clock)))
            let outbox = Outbox(bus: bus)
            let recorder = EventRecorder()
            bus.subscribe(to: OrderPlaced.self, group: "g", options: .init(middleware: [recorder])) { _, _ in }
            try await database.write { db in _ = try outbox.publish(OrderPlaced(orderID: "k"), in: db) }
            let relay = OutboxRelay(database: database, bus: bus, logger: .quiet)
            let run = Task { try await relay.run() }
            while relay.health().reason?.contains("the bus was not running") != true {
                clock.advance(by: .seconds(1))
                await Task.yield()
            }
            try await bus.withRunning {
                let handled = Task { try await recorder.waitForHandled(OrderPlaced.self) }
                try await database.drain(by: clock)
                _ = try await handled.value
            }
            run.cancel()
            try await run.value
        }

        @Test("A transport that does not keep the deadline delays only the events that it was given")
        func noAnswerAtAll() async throws {
            let database = try makeDatabase()
            let clock = ManualClock()
            let transport = ScriptedTransport(InMemoryBroker(clock: clock)) {
                $0.topic == NoteTaken.topic ? .nothing : nil
            }
            let bus = EventBus(transport: transport)
            let outbox = Outbox(bus: bus)
            let recorder = EventRecorder()
            bus.subscribe(to: OrderPlaced.self, group: "g", options: .init(middleware: [recorder])) { _, _ in }
            let relay = OutboxRelay(database: database, bus: bus, logger: .quiet)
            let ticking = Task {
                while !Task.isCancelled {
                    clock.advance(by: .milliseconds(100))
                    await Task.yield()
                }
            }
            defer { ticking.cancel() }
            try await running(bus, relay) {
                for number in 1...60 {
                    // Each in a separate batch, and more of them than may be in flight together.
                    try await database.write { db in
                        try outbox.publish(NoteTaken(number: number), in: db)
                        try outbox.publish(OrderPlaced(orderID: "\(number)"), in: db)
                    }
                    _ = try await recorder.waitForHandled(OrderPlaced.self, count: number)
                }
            }
            #expect(relay.health().reason == "shut down")
            #expect(try await database.waiting().count == 60)
        }
    }
}

private struct Letter: Event {
    static let topic: Topic = "letter.written"
    var text: String
}

/// A store that does not take a body before it may, and ignores cancellation.
private final class SilentStore: ClaimCheckStore {
    private let base = InMemoryClaimCheckStore()
    let mayAnswer = Signal()

    func put(_ body: [UInt8], named name: ClaimCheckName) async throws {
        await withoutCancellation { [mayAnswer] in try? await mayAnswer.wait() }
        try await base.put(body, named: name)
    }

    func get(_ name: ClaimCheckName) async throws -> [UInt8]? { try await base.get(name) }

    func remove(_ name: ClaimCheckName) async throws { try await base.remove(name) }
}

import EventBus
import EventBusInMemory
import EventBusTesting
import InventoryService
import ServiceStorage
import ServiceTestKit
import ShopEvents
import Testing

@testable import InventoryServer

@Suite("Reservations in a database", .timeLimit(.minutes(2)))
struct ReservationTests {
    private let file: StockFile
    private let clock = ManualClock()
    private let broker: InMemoryBroker

    init() throws {
        file = try StockFile()
        broker = InMemoryBroker(clock: clock)
    }

    /// Publishes orders as the order service does, until all are handled.
    private func publish(
        _ orders: [OrderCreated],
        to replicas: [Replica],
        correlationID: CorrelationID? = nil
    ) async throws {
        let orderBus = EventBus(transport: .inMemory(broker))
        let broker = broker
        try await withRunning((replicas.map(\.bus) + [orderBus])[...]) {
            for order in orders {
                try await orderBus.publish(
                    order,
                    options: PublishOptions(id: EventID(order.orderID), correlationID: correlationID)
                )
            }
            try await broker.settled(within: .seconds(100))
        }
    }

    @Test("An order's reservation belongs to the order's story, and to its event")
    func correlation() async throws {
        let replica = try Replica(file, broker: broker)
        _ = try await replica.store.open(with: [.sample("A", 5)])
        replica.subscribe()
        try await publish([.sample("1", ["A": 2])], to: [replica], correlationID: "story-1")
        let events = try await replica.database.outbox()
        #expect(events.map(\.topic) == ["stock.reserved"])
        #expect(events.first?.correlationID == "story-1")
        #expect(events.first?.causationID == "1")
    }

    @Test("The event of a decision has the same id if a process that knows nothing of it decides again")
    func derivedID() async throws {
        var ids: [String] = []
        for file in [file, try StockFile()] {
            let replica = try Replica(file, broker: broker)
            _ = try await replica.store.open(with: [.sample("A", 5)])
            replica.subscribe()
            try await publish([.sample("1", ["A": 2])], to: [replica])
            ids += try await replica.database.outbox().map(\.id)
        }
        #expect(ids.count == 2 && Set(ids).count == 1)
    }

    @Test("A repeated order is handled once")
    func duplicate() async throws {
        let replica = try Replica(file, broker: broker)
        _ = try await replica.store.open(with: [.sample("A", 5)])
        replica.subscribe()
        let order = try OrderCreated.sample("1", ["A": 2])
        try await publish([order, order, order], to: [replica])
        #expect(try await replica.store.allLevels() == ["A": 3])
        #expect(try await replica.database.outbox().count == 1)
        #expect(try await replica.database.count(of: "eventbus_inbox") == 1)
    }

    @Test("A failure in the last step leaves no trace, and the next attempt has the whole effect")
    func atomicity() async throws {
        let replica = try Replica(file, broker: broker)
        _ = try await replica.store.open(with: [.sample("A", 5)])
        try await replica.database.execute("ALTER TABLE eventbus_outbox RENAME TO away")
        replica.subscribe(options: SubscriptionOptions(retry: .never))
        let order = try OrderCreated.sample("1", ["A": 2])
        try await publish([order], to: [replica])
        #expect(try await replica.store.allLevels() == ["A": 5])
        for table in ["decisions", "decision_lines", "eventbus_inbox"] {
            #expect(try await replica.database.count(of: table) == 0, "\(table)")
        }
        try await replica.database.execute("ALTER TABLE away RENAME TO eventbus_outbox")

        let next = try Replica(file, broker: broker)
        next.subscribe()
        try await publish([order], to: [next])
        #expect(try await next.store.allLevels() == ["A": 3])
        #expect(try await next.database.outbox().map(\.topic) == ["stock.reserved"])
    }

    @Test("While Redis is down for hours, orders use up no attempt, and the breaker leaves them with the broker")
    func lockOutage() async throws {
        let replica = try Replica(file, broker: broker)
        _ = try await replica.store.open(with: [.sample("A", 50)])
        let clock = AnyClock(clock)
        let lock = OpenDoor(clock: clock, outageEnd: clock.now.advanced(by: .seconds(3 * 60 * 60)))
        replica.subscribe(lock: lock, options: .outlastingOutages)
        try await publish((1...20).map { try .sample("\($0)", ["A": 1]) }, to: [replica])
        #expect(try await replica.store.allDecisions().count == 20)
        let letters = try await replica.bus.deadLetters(of: InventoryService.group).entries(limit: 10)
        #expect(letters.isEmpty)
    }

    @Test("An event id that was used for another order is reported, not taken for a duplicate")
    func reusedID() async throws {
        let replica = try Replica(file, broker: broker)
        _ = try await replica.store.open(with: [.sample("A", 5)])
        replica.subscribe()
        let bus = EventBus(transport: .inMemory(broker))
        let broker = broker
        try await replica.bus.withRunning {
            try await bus.withRunning {
                for id in ["1", "2"] {
                    let order = try OrderCreated.sample(id, ["A": 1])
                    try await bus.publish(order, options: PublishOptions(id: "reused"))
                    try await broker.settled(within: .seconds(100))
                }
                let letters = try await bus.deadLetters(of: InventoryService.group).entries(limit: 10)
                #expect(letters.map(\.failure.reason) == [.nonRetryable])
                #expect(letters.first?.failure.message.contains("under an id of its own") == true)
            }
        }
        #expect(try await replica.store.allLevels() == ["A": 4])
    }

    @Test("Two replicas on one file sell exactly the stock")
    func contested() async throws {
        let lock = InMemoryLock(clock: ManualClock())
        let replicas = try [Replica(file, broker: broker), Replica(file, broker: broker)]
        _ = try await replicas[0].store.open(with: [.sample("A", 10), .sample("B", 25), .sample("C", 1)])
        for replica in replicas { replica.subscribe(lock: lock) }
        let orders = try (1...60).map { number in
            try OrderCreated.sample("\(number)", number.isMultiple(of: 3) ? ["B": 1, "C": 1] : ["A": 1, "B": 1])
        }
        try await publish(orders, to: replicas)
        let decisions = try await replicas[1].store.allDecisions()
        #expect(decisions.count == 60)
        let reserved = decisions.values.count { if case .reserved = $0 { true } else { false } }
        #expect(reserved == 11)
        #expect(try await replicas[0].store.allLevels() == ["A": 0, "B": 14, "C": 0])
        #expect(try await replicas[0].database.outbox().count == 60)
    }

    @Test("Without a lock the database keeps the last item from being sold twice")
    func noLock() async throws {
        let replicas = try [Replica(file, broker: broker), Replica(file, broker: broker)]
        _ = try await replicas[0].store.open(with: [.sample("A", 1)])
        for replica in replicas { replica.subscribe(lock: OpenDoor()) }
        try await publish((1...20).map { try .sample("\($0)", ["A": 1]) }, to: replicas)
        let decisions = try await replicas[0].store.allDecisions()
        #expect(decisions.values.filter { $0 == .reserved(["A": 1]) }.count == 1)
        #expect(decisions.count == 20)
        #expect(try await replicas[0].store.allLevels() == ["A": 0])
    }
}

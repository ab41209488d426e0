import EventBus
import EventBusInMemory
import InventoryService
import ShopEvents
import Synchronization
import Testing

@Suite("The inventory service", .timeLimit(.minutes(1)))
struct InventoryServiceTests {
    /// Offers the last item to two orders at the same time, and returns the remaining number.
    private func sellLastPieceTwice(
        under lock: some DistributedLock,
        through door: (InMemoryStockStore) -> any StockStore = { $0 }
    ) async throws -> Int? {
        let broker = InMemoryBroker()
        let bus = EventBus(transport: .inMemory(broker))
        let piece = try #require(StockItem(sku: "A", name: "a", quantity: 1, unitPrice: .zero))
        let store = door(InMemoryStockStore([piece], bus: bus))
        InventoryService(bus: bus, store: store, lock: lock).subscribe()
        bus.subscribe(to: "stock.*", group: "test") { _, _ in }
        let line = try #require(OrderLine(sku: "A", quantity: 1, unitPrice: .zero))
        try await bus.withRunning {
            for id in ["1", "2"] {
                try await bus.publish(OrderCreated(orderID: id, customerID: "C", items: [line]))
            }
            try await broker.settled()
        }
        return try await store.allLevels()["A"]
    }

    @Test("The last item is sold once")
    func lock() async throws {
        #expect(try await sellLastPieceTwice(under: InMemoryLock()) == 0)
    }

    @Test("With a lock that excludes nobody the last item is sold twice, and the stock reveals it")
    func noLock() async throws {
        #expect(try await sellLastPieceTwice(under: OpenDoor()) { Turnstile($0, readers: 2) } == -1)
    }
}

/// A lock that grants everything to everyone immediately.
private struct OpenDoor: DistributedLock {
    let clock = AnyClock.continuous

    func acquire(_ resource: String, ttl: Duration, wait: Duration) async throws -> LockGrant {
        LockGrant(resource: resource, owner: "all", fencingToken: 1, ttl: ttl, validUntil: clock.now.advanced(by: ttl))
    }

    func renew(_ grant: LockGrant) async throws -> AnyClock.Instant { clock.now.advanced(by: grant.ttl) }

    func release(_ grant: LockGrant) async throws {}
}

/// A store whose first readers all see the same stock.
private actor Turnstile: StockStore {
    private let store: InMemoryStockStore
    private var missing: Int
    private var waiting: [CheckedContinuation<Void, Never>] = []

    init(_ store: InMemoryStockStore, readers: Int) {
        self.store = store
        self.missing = readers
    }

    func levels(of skus: some Collection<String> & Sendable) async -> [String: Int] {
        let levels = await store.levels(of: skus)
        missing -= 1
        if missing > 0 {
            await withCheckedContinuation { waiting.append($0) }
        } else {
            for reader in waiting { reader.resume() }
            waiting = []
        }
        return levels
    }

    func decision(for orderID: String) async -> StockDecision? { await store.decision(for: orderID) }

    func record(
        _ decision: StockDecision,
        for orderID: String,
        fencingTokens: [String: UInt64],
        handling context: EventContext?
    ) async throws -> StockDecision {
        try await store.record(decision, for: orderID, fencingTokens: fencingTokens, handling: context)
    }

    func allLevels() async -> [String: Int] { await store.allLevels() }

    func allDecisions() async -> [String: StockDecision] { await store.allDecisions() }
}

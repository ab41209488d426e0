import EventBus
import EventBusInMemory
import EventBusTesting
import GRDB
import InventoryService
import ServiceTestKit
import ShopEvents

@testable import InventoryServer

/// The inventory service without its process, on a broker in memory.
struct Replica: Sendable {
    let database: DatabasePool
    let bus: EventBus
    let store: SQLiteStockStore
    let catalog: StockCatalog

    /// A replica on a database file that others may share.
    ///
    /// Leases and cached products end when a test has time pass, and not because the machine is busy.
    init(
        _ file: StockFile,
        broker: InMemoryBroker = InMemoryBroker(clock: ManualClock()),
        lock: some DistributedLock = InMemoryLock(clock: ManualClock()),
        cache: some Cache = InMemoryCache(clock: ManualClock())
    ) throws {
        database = try file.open()
        var configuration = EventBusConfiguration()
        configuration.source = "inventory"
        bus = EventBus(transport: .inMemory(broker), configuration: configuration)
        store = SQLiteStockStore(database: database, bus: bus)
        catalog = StockCatalog(store: store, lock: lock, cache: cache, logger: .quiet)
    }

    /// Has the service listen for orders.
    func subscribe(
        lock: some DistributedLock = InMemoryLock(clock: ManualClock()),
        retry: RetryPolicy = .fixed(.milliseconds(1), maxAttempts: 50)
    ) {
        InventoryService(bus: bus, store: CatalogedStockStore(store: store, catalog: catalog), lock: lock)
            .subscribe(options: SubscriptionOptions(retry: retry))
    }
}

/// A lock that gives everyone everything at once, each under the token that it is made with.
struct OpenDoor: DistributedLock {
    let clock = AnyClock(ManualClock())
    var token: UInt64 = 1

    func acquire(_ resource: String, ttl: Duration, wait: Duration) async throws -> LockGrant {
        LockGrant(
            resource: resource,
            owner: "all",
            fencingToken: token,
            ttl: ttl,
            validUntil: clock.now.advanced(by: ttl)
        )
    }

    func renew(_ grant: LockGrant) async throws -> AnyClock.Instant { clock.now.advanced(by: grant.ttl) }

    func release(_ grant: LockGrant) async throws {}
}

/// A lock whose store cannot be reached.
struct LockOutage: DistributedLock {
    let clock = AnyClock.continuous

    func acquire(_ resource: String, ttl: Duration, wait: Duration) async throws -> LockGrant {
        throw EventBusError(.unavailable, "there is no Redis")
    }

    func renew(_ grant: LockGrant) async throws -> AnyClock.Instant {
        throw EventBusError(.unavailable, "there is no Redis")
    }

    func release(_ grant: LockGrant) async throws {}
}

/// Runs several buses while `body` runs.
@Sendable
func withRunning(_ buses: ArraySlice<EventBus>, _ body: @escaping @Sendable () async throws -> Void) async throws {
    guard let first = buses.first else { return try await body() }
    try await first.withRunning { try await InventoryServerTests.withRunning(buses.dropFirst(), body) }
}

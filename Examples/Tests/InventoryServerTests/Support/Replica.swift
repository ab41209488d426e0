import EventBus
import EventBusInMemory
import EventBusTesting
import GRDB
import InventoryService
import ServiceStorage
import ServiceTestKit
import ShopEvents

@testable import InventoryServer

/// The inventory service without its process, on an in-memory broker.
struct Replica: Sendable {
    let database: DatabasePool
    let bus: EventBus
    let store: SQLStockStore
    let catalog: StockCatalog

    /// Creates a replica on a database file that others may share.
    ///
    /// Leases and cached products expire only when a test advances the time, and not because the machine is busy.
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
        store = SQLStockStore(database: .sqlite(database), bus: bus)
        catalog = StockCatalog(store: store, lock: lock, cache: cache, logger: .quiet)
    }

    /// Subscribes the service to orders.
    func subscribe(
        lock: some DistributedLock = InMemoryLock(clock: ManualClock()),
        options: SubscriptionOptions = SubscriptionOptions(retry: .fixed(.milliseconds(1), maximumAttempts: 50))
    ) {
        InventoryService(bus: bus, store: CatalogedStockStore(store: store, catalog: catalog), lock: lock)
            .subscribe(options: options)
    }
}

/// A lock that grants everything to everyone immediately, each with the token that it was created with.
struct OpenDoor: DistributedLock {
    var clock = AnyClock(ManualClock())
    var token: UInt64 = 1
    /// The time until which its store is unreachable, or `nil`.
    var outageEnd: AnyClock.Instant?

    func acquire(_ resource: String, ttl: Duration, wait: Duration) async throws -> LockGrant {
        if let outageEnd, clock.now < outageEnd { throw EventBusError(.unavailable, "there is no Redis") }
        return LockGrant(
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

/// A lock whose store is unreachable.
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

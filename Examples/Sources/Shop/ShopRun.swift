import EventBus
import EventBusInMemory
import InventoryService
import Logging
import NotificationService
import OrderService
import ServiceLifecycle
import ShopData
import ShopEvents
import Synchronization
import TerminalText
import UnixSignals

/// The whole shop in one process: three services on one broker, each with its own bus as if it were alone.
struct ShopRun: Sendable {
    /// The outcome of a run.
    struct Outcome: Sendable {
        var report: ShopReport
        var audit: ShopAudit
        /// A Boolean value indicating whether it was asked to stop before all orders were placed.
        var isInterrupted: Bool
        /// The dead letters.
        var deadLetters: [DeadLetter]
        /// The faults that the broker injected, or `nil` if it was not asked to.
        var faults: FaultLog?
    }

    let input: ShopInput
    let broker: BrokerKind
    private let coordination: Coordination
    let tally = DeliveryCounter()
    let logger: Logger

    /// A Boolean value indicating whether the subscriptions have inboxes. Without them, the stores alone make the
    /// handlers idempotent.
    let usesInbox: Bool

    private let buses: [EventBus]
    private let orderStore: InMemoryOrderStore
    private let stockStore: InMemoryStockStore
    private let notificationLog: InMemoryNotificationLog
    private let orders: OrderService
    private let inventory: InventoryService
    private let notifications: NotificationService

    /// Creates a shop.
    ///
    /// - Parameters:
    ///   - input: The orders to place, and the stock.
    ///   - broker: The broker that carries the events between the services.
    ///   - coordination: The lock, the cache and the inboxes. Defaults to in-memory ones.
    ///   - usesInbox: `true` if the subscriptions remember handled events.
    ///   - notices: The destination of the messages to customers. Defaults to the books only.
    init(
        input: ShopInput,
        broker: BrokerKind = .inMemory(InMemoryBroker()),
        coordination: Coordination? = nil,
        usesInbox: Bool = true,
        notices: NotificationFile? = nil,
        logger: Logger = Logger(label: "shop") { _ in SwiftLogNoOpLogHandler() }
    ) throws {
        let tally = tally
        func bus(_ source: String) throws -> EventBus {
            var configuration = EventBusConfiguration()
            configuration.source = source
            configuration.deliveryObservers.append(tally)
            return try broker.bus(configuration, logger: logger)
        }
        let buses = try [bus("orders"), bus("inventory"), bus("notifications")]
        self.input = input
        self.usesInbox = usesInbox
        let coordination = coordination ?? .inMemory(clock: broker.clock)
        self.broker = broker
        self.coordination = coordination
        self.logger = logger
        self.buses = buses
        self.notificationLog = InMemoryNotificationLog { notice in
            try notices?.append(notice)
            logger.info("customer told", metadata: ["order": "\(notice.orderID)", "text": "\(notice.text)"])
        }
        self.orderStore = InMemoryOrderStore(bus: buses[0])
        self.stockStore = InMemoryStockStore(input.stock, bus: buses[1])
        self.orders = OrderService(bus: buses[0], store: orderStore)
        self.inventory = InventoryService(
            bus: buses[1],
            store: CachedDecisions(of: stockStore, in: coordination.cache),
            lock: coordination.lock
        )
        self.notifications = NotificationService(bus: buses[2], log: notificationLog)
    }

    /// Places every order, waits until all work is done, and audits the books.
    ///
    /// - Parameter signals: The signals that end the run early. No more orders are placed then, and placed orders are
    ///   completed.
    func run(
        gracefulShutdownSignals signals: [UnixSignal] = [],
        reporting display: ProgressDisplay? = nil
    ) async throws -> Outcome {
        let start = ContinuousClock.now
        let subscriptions = [
            orders.subscribe(options: subscriptionOptions()),
            inventory.subscribe(options: subscriptionOptions()),
            notifications.subscribe(options: subscriptionOptions()),
        ]
        let deadLetters = Mutex<[DeadLetter]>([])
        let till = OrderSubmitter(orders: input.orders, service: orders, tally: tally, logger: logger)
        let driver = Driver {
            for subscription in subscriptions { try await subscription.attached() }
            try await withThrowingTaskGroup { group in
                if let display {
                    group.addTask { await report(to: display, since: start) }
                }
                try await till.placeAll()
                try await broker.settled(
                    progress: { await notificationLog.all().count },
                    isDone: { await notificationLog.all().count == tally.counts.placed }
                )
                group.cancelAll()
            }
            // While there is a connection to read them with.
            let letters = try await readDeadLetters()
            deadLetters.withLock { $0 = letters }
        } onGracefulShutdown: {
            till.close()
        }
        var configuration = ServiceGroupConfiguration(
            services: buses.map { .init(service: $0) }
                + [.init(service: driver, successTerminationBehavior: .gracefullyShutdownGroup)],
            logger: logger
        )
        configuration.gracefulShutdownSignals = signals
        try await ServiceGroup(configuration: configuration).run()
        return await outcome(
            after: start.duration(to: .now),
            isInterrupted: till.isClosed,
            deadLetters: deadLetters.withLock { $0 }
        )
    }

    private func subscriptionOptions() -> SubscriptionOptions {
        let tally = tally
        let deduplication = DeduplicationMiddleware(
            inbox: coordination.inbox,
            // The handled events of a run are of no use to the next one.
            options: InboxOptions(retention: .seconds(3600), recheckInterval: .milliseconds(100)),
            didSuppress: { _ in tally.update { $0.duplicatesSuppressed += 1 } }
        )
        return SubscriptionOptions(
            concurrency: 16,
            retry: RetryPolicy(initial: .milliseconds(20), maximum: .seconds(2)),
            handlerTimeout: .seconds(30),
            middleware: usesInbox ? [deduplication] : []
        )
    }

    private func report(to display: ProgressDisplay, since start: ContinuousClock.Instant) async {
        while (try? await Task.sleep(for: display.interval)) != nil {
            let notifications = await notificationLog.all()
            display.show(
                Progress(
                    total: input.orders.count,
                    counts: tally.counts,
                    confirmed: notifications.count { $0.outcome == .confirmed },
                    cancelled: notifications.count { $0.outcome == .cancelled },
                    inFlight: max(0, tally.counts.placed - notifications.count),
                    elapsed: start.duration(to: .now)
                ).line
            )
        }
    }

    private var faultLog: FaultLog? {
        if case .inMemory(let broker) = broker { broker.faultLog } else { nil }
    }

    private func readDeadLetters() async throws -> [DeadLetter] {
        var deadLetters: [DeadLetter] = []
        for group in [OrderService.group, InventoryService.group, NotificationService.group] {
            deadLetters += try await buses[0].deadLetters(of: group).entries(limit: 1000)
        }
        return deadLetters
    }

    private func outcome(after elapsed: Duration, isInterrupted: Bool, deadLetters: [DeadLetter]) async -> Outcome {
        let audit = ShopAudit(
            orders: await orderStore.all(),
            decisions: await stockStore.allDecisions(),
            openingStock: Dictionary(uniqueKeysWithValues: input.stock.map { ($0.sku, $0.quantity) }),
            remainingStock: await stockStore.allLevels(),
            notifications: await notificationLog.all(),
            deadLetters: deadLetters.count
        )
        let counts = tally.counts
        let report = ShopReport(
            audit,
            retries: counts.retries,
            duplicatesSuppressed: counts.duplicatesSuppressed,
            elapsed: elapsed
        )
        return Outcome(
            report: report,
            audit: audit,
            isInterrupted: isInterrupted,
            deadLetters: deadLetters,
            faults: faultLog
        )
    }
}

/// The member of the service group that does the work of this run and ends it.
private struct Driver: Service {
    let work: @Sendable () async throws -> Void
    let onGracefulShutdown: @Sendable () -> Void

    func run() async throws {
        try await withGracefulShutdownHandler(operation: work, onGracefulShutdown: onGracefulShutdown)
    }
}

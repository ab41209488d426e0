#if SQLite
internal import CoreMetrics
public import EventBus
public import GRDB
public import Logging

extension OutboxRelay {
    /// Creates a relay from `database` to `bus`.
    ///
    /// - Parameters:
    ///   - database: The database with the outbox's tables. Pass the object that the service writes through if
    ///     possible, because only its commits wake the relay.
    ///   - bus: The bus on which events are published. It must be running.
    ///   - configuration: The settings of the relay.
    ///   - logger: The logger for outages, topics without a subscription and parked events. Defaults to swift-log's
    ///     logger with the label `eventbus.outbox`.
    public convenience init(
        database: any DatabaseWriter,
        bus: EventBus,
        configuration: Configuration = .init(),
        logger: Logger = Logger(label: "eventbus.outbox")
    ) {
        self.init(
            database: database,
            bus: bus,
            configuration: configuration,
            logger: logger,
            metrics: MetricsSystem.factory
        )
    }

    convenience init(
        database: any DatabaseWriter,
        bus: EventBus,
        configuration: Configuration,
        logger: Logger,
        metrics: any MetricsFactory,
        wallClock: WallClock? = nil
    ) {
        self.init(
            bus: bus,
            configuration: configuration,
            logger: logger,
            metrics: metrics,
            wallClock: wallClock
        ) { settings in
            SQLiteOutboxStore(writer: database, settings: settings)
        }
    }
}
#endif

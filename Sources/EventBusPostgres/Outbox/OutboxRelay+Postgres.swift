internal import CoreMetrics
public import EventBus
public import EventBusOutbox
public import Logging

extension OutboxRelay {
    /// Creates a relay from the outbox in the database of `client` to `bus`.
    ///
    /// ```swift
    /// let relay = try OutboxRelay(postgres, bus: bus, logger: logger)
    /// try await ServiceGroup(services: [bus, relay, server], logger: logger).run()
    /// ```
    ///
    /// It has a connection of its own, on which `NOTIFY` wakes it when a transaction that stored an event has committed.
    /// It also checks every `pollInterval`, for a pooler that passes no notifications. Any number of hosts may run
    /// relays: a lease in the database, measured by the clock of the server, selects the one that publishes. A lease
    /// bounds the time for which a relay that was cut off from the database still publishes, which an advisory lock does
    /// not.
    ///
    /// - Parameters:
    ///   - client: The client of the database with the outbox's tables.
    ///   - bus: The bus on which events are published. It must be running.
    ///   - configuration: The settings of the relay.
    ///   - logger: The logger for outages, topics without a subscription and parked events. Defaults to swift-log's
    ///     logger with the label `eventbus.outbox`.
    /// - Throws: `EventBusError` with code `.unavailable` if the process has no thread or descriptor left.
    public convenience init(
        _ client: PostgresClient,
        bus: EventBus,
        configuration: Configuration = .init(),
        logger: Logger = Logger(label: "eventbus.outbox")
    ) throws {
        try self.init(
            bus: bus,
            configuration: configuration,
            logger: logger,
            metrics: MetricsSystem.factory
        ) { settings in
            try PostgresOutboxStore(client, settings: settings)
        }
    }
}

import EventBus
import EventBusInMemory
import EventBusRabbit
import Logging

/// The broker that carries the shop's events.
enum BrokerKind: Sendable {
    /// A broker in this process.
    case inMemory(InMemoryBroker)
    /// A RabbitMQ server with a virtual host that only the shop uses.
    case rabbitMQ(RabbitConfiguration)

    /// The clock of the broker.
    var clock: AnyClock {
        switch self {
        case .inMemory(let broker): broker.clock
        case .rabbitMQ: .continuous
        }
    }

    /// Returns a bus with its own connection.
    func bus(_ configuration: EventBusConfiguration, logger: Logger) throws -> EventBus {
        switch self {
        case .inMemory(let broker):
            return EventBus(transport: .inMemory(broker), configuration: configuration, logger: logger)
        case .rabbitMQ(var rabbit):
            rabbit.clientName = configuration.source ?? "shop"
            return try EventBus(
                transport: .rabbit(rabbit, logger: logger),
                configuration: configuration,
                logger: logger
            )
        }
    }

    /// Waits until all work is done.
    ///
    /// The in-memory broker knows when that is. For another broker only the books tell, so the call waits for `isDone`
    /// as long as `progress` changes at least once per minute.
    func settled(progress: @Sendable () async -> Int, isDone: @Sendable () async -> Bool) async throws {
        switch self {
        case .inMemory(let broker):
            try await broker.settled(within: .seconds(300))
        case .rabbitMQ:
            var (last, since) = (await progress(), ContinuousClock.now)
            while await !isDone() {
                try await Task.sleep(for: .milliseconds(20))
                let now = await progress()
                if now != last { (last, since) = (now, .now) }
                if since.duration(to: .now) > .seconds(60) { return }
            }
        }
    }
}

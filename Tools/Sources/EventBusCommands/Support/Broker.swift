import EventBus
import EventBusRabbit
import TerminalText

/// A broker that a command uses.
struct Broker: Sendable {
    let options: BrokerOptions
    var configuration: RabbitConfiguration

    /// Creates a broker from the options of a command.
    init(_ options: BrokerOptions) throws {
        self.options = options
        self.configuration = try options.configuration()
    }

    /// Connects, calls `body` with a running transport, and disconnects.
    ///
    /// A first attempt fails at once and with the reason, because a transport would try again.
    ///
    /// - Parameters:
    ///   - groups: The groups whose dead letters are needed.
    ///   - body: The work.
    func withTransport<Value: Sendable>(
        groups: [String] = [],
        _ body: @escaping @Sendable (RabbitTransport) async throws -> Value
    ) async throws -> Value {
        let logger = options.logger
        let inspection = try await RabbitTransport.inspect(
            queues: groups.map { "\($0).dead" },
            on: configuration,
            logger: logger
        )
        if inspection.missingExchanges.contains(configuration.exchange) {
            throw CommandFailure(
                "the virtual host \(configuration.virtualHost.printable) has no exchange "
                    + "\(configuration.exchange.printable); name that of the services with --exchange"
            )
        }
        if let missing = inspection.queues.first(where: \.isMissing) {
            throw CommandFailure(
                "the virtual host \(configuration.virtualHost.printable) has no queue \(missing.name.printable); check "
                    + "the name of the group, and that one of its services ran"
            )
        }
        let transport = try RabbitTransport(configuration, logger: logger)
        return try await withThrowingTaskGroup(of: Value?.self) { group in
            group.addTask {
                try await transport.run()
                return nil
            }
            group.addTask { try await body(transport) }
            defer { group.cancelAll() }
            while let outcome = try await group.next() {
                if let outcome { return outcome }
            }
            throw CancellationError()
        }
    }
}

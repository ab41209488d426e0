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

    /// An object that all services share and a command cannot do without.
    enum Need: Hashable, Sendable {
        /// The exchange of events.
        case exchange
        /// The levels through which delayed events pass.
        case delays
    }

    /// Connects, calls `body` with a running transport, and disconnects.
    ///
    /// A first attempt fails at once and with the reason, because a transport would try again. Shared objects that nothing
    /// needs may be missing, because that may be the trouble that a command is to mend.
    ///
    /// - Parameters:
    ///   - groups: The groups whose dead letters are needed.
    ///   - needs: The shared objects that are needed. Defaults to none.
    ///   - body: The work.
    func withTransport<Value: Sendable>(
        groups: [String] = [],
        needs: Set<Need> = [],
        _ body: @escaping @Sendable (RabbitTransport) async throws -> Value
    ) async throws -> Value {
        let logger = options.logger
        let inspection = try await RabbitTransport.inspect(
            queues: groups.map { "\($0).dead" },
            on: configuration,
            logger: logger
        )
        try check(inspection, needs)
        var configuration = configuration
        configuration.checksSharedObjects = false
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

    private func check(_ inspection: BrokerInspection, _ needs: Set<Need>) throws(CommandFailure) {
        let place = "the virtual host \(configuration.virtualHost)"
        let isExchangeMissing = inspection.missingExchanges.contains(configuration.exchange)
        let exchange = "no exchange \(configuration.exchange); name that of the services with --exchange"
        if let missing = inspection.queues.first(where: \.isMissing) {
            throw CommandFailure(
                "\(place) has no queue \(missing.name); check the name of the group, and that one of its services ran"
                    + (isExchangeMissing ? "; it has \(exchange)" : "")
            )
        }
        if isExchangeMissing {
            guard !needs.contains(.exchange) else { throw CommandFailure("\(place) has \(exchange)") }
            StandardError.line("eventbus: \(place) has \(exchange), if it is another one")
        }
        guard needs.contains(.delays) else { return }
        let levels = inspection.sharedQueues.filter(\.isMissing).map(\.name) + inspection.missingExchanges
        if let missing = levels.first(where: { $0.hasPrefix("eventbus.delay.") }) {
            throw CommandFailure(
                "\(place) has no \(missing), without which a delayed event is lost; start a service that may declare it, or "
                    + "use topology apply"
            )
        }
    }
}

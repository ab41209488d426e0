import ConnectionThread
import EventBus
public import Logging

extension RabbitTransport {
    /// Asks the broker about queues and about the objects that all services share, on a separate connection. It changes
    /// nothing, and needs no permission except to connect.
    ///
    /// - Parameters:
    ///   - queues: The names of the queues, such as `inventory.order-created` or `inventory.dead`.
    ///   - configuration: The address of the broker.
    ///   - logger: The logger for connections without verification. Defaults to swift-log's logger with the label
    ///     `eventbus.rabbitmq`.
    /// - Throws: ``/EventBus/EventBusError``: `.authenticationFailed`, `.accessRefused`, `.unavailable`, `.timedOut` if the
    ///   broker did not answer.
    public static func inspect(
        queues: [String] = [],
        on configuration: RabbitConfiguration,
        logger: Logger = Logger(label: "eventbus.rabbitmq")
    ) async throws -> BrokerInspection {
        let plan = TopologyPlan(configuration)
        return try await withConnection(configuration, "inspecting the broker", logger, role: "inspection") {
            connection,
            _ throws(AMQPFailure) in
            var inspection = BrokerInspection(version: connection.brokerVersion)
            for call in plan.sharedCheck {
                switch call {
                case .exchangeDeclare(let name, _, _, _):
                    if try await answer(to: call, on: connection).failure?.code == AMQPFailure.notFound {
                        inspection.missingExchanges.append(name)
                    }
                case .queueDeclare(let queue):
                    inspection.sharedQueues.append(try await state(of: queue.name, on: connection))
                default: break
                }
            }
            for name in queues { inspection.queues.append(try await state(of: name, on: connection)) }
            return inspection
        }
    }

    private static func state(
        of name: String,
        on connection: RabbitConnection
    ) async throws(AMQPFailure) -> BrokerInspection.Queue {
        let call = AMQPCall.queueDeclare(QueueDeclaration(name: name, isPassive: true))
        switch try await answer(to: call, on: connection) {
        case .success(.queue(_, let events, let consumers)):
            return BrokerInspection.Queue(name: name, events: events, consumers: consumers)
        case .success:
            return BrokerInspection.Queue(name: name, problem: "the broker gave no numbers")
        case .failure(let failure):
            let isMissing = failure.code == AMQPFailure.notFound && !failure.isQueueDown
            return BrokerInspection.Queue(name: name, isMissing: isMissing, problem: failure.text)
        }
    }

    /// Makes a call on a channel of its own, which the broker closes if it refuses the call.
    ///
    /// - Throws: ``AMQPFailure`` if it ended the connection.
    static func answer(
        to call: AMQPCall,
        on connection: RabbitConnection
    ) async throws(AMQPFailure) -> Result<AMQPReply, AMQPFailure> {
        let channel = try await connection.openChannel { _ in }
        do throws(AMQPFailure) {
            let reply = try await connection.call(call, on: channel)
            await connection.closeChannel(channel)
            return .success(reply)
        } catch {
            guard error.isChannelOnly else { throw error }
            return .failure(error)
        }
    }
}

extension Result {
    fileprivate var failure: Failure? {
        if case .failure(let failure) = self { return failure }
        return nil
    }
}

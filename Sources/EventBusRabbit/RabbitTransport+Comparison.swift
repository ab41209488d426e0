import ConnectionThread
import EventBus
public import Logging

extension RabbitTransport {
    /// Compares the exchanges and queues that subscriptions need with those of a broker, on a separate connection.
    ///
    /// Nothing is created. An existing object is declared again as it should be, which changes nothing and reveals
    /// different arguments. Bindings cannot be compared, because AMQP does not list them.
    ///
    /// - Parameters:
    ///   - topology: The topology of the subscriptions.
    ///   - configuration: The address of the broker. The user must be allowed to configure the objects.
    ///   - logger: The logger for connections without verification. Defaults to swift-log's logger with the label
    ///     `eventbus.rabbitmq`.
    /// - Returns: The objects that are missing or different, in the order in which they are declared.
    /// - Throws: ``/EventBus/EventBusError``: `.authenticationFailed`, `.accessRefused`, `.unavailable`, `.timedOut` if the
    ///   broker did not answer.
    public static func compare(
        _ topology: RabbitTopology,
        on configuration: RabbitConfiguration,
        logger: Logger = Logger(label: "eventbus.rabbitmq")
    ) async throws -> [TopologyDifference] {
        var configuration = configuration
        try topology.apply(to: &configuration)
        let plan = TopologyPlan(configuration)
        let specifications = try topology.specifications
        var calls = plan.shared
        for group in Set(specifications.map(\.group)).sorted() { calls += plan.deadLetters(of: group) }
        // By-key queues of an earlier release keep their delivery limit.
        var limited: Set<String> = []
        for specification in specifications {
            let name = configuration.queueName(of: specification)
            calls += plan.subscription(specification, name: name)
            if plan.hasCrashRecord(specification) { limited.insert(name) }
        }
        return try await withConnection(configuration, "comparing the topology", logger, role: "comparison") {
            [calls, limited] connection, _ throws(AMQPFailure) in
            var differences: [TopologyDifference] = []
            for call in calls {
                guard let (name, check) = call.passive else { continue }
                switch try await answer(to: check, on: connection) {
                case .failure(let failure) where failure.code == AMQPFailure.notFound && !failure.isQueueDown:
                    differences.append(TopologyDifference(object: name, isMissing: true, reason: "missing"))
                    continue
                case .failure(let failure):
                    try failure.throwIfForbidden()
                    differences.append(TopologyDifference(object: name, isMissing: false, reason: failure.text))
                    continue
                case .success: break
                }
                if case .failure(let failure) = try await answer(to: call, on: connection) {
                    try failure.throwIfForbidden()
                    let clash = TopologyClash(failure.text)
                    if limited.contains(name), clash?.argument == "x-delivery-limit" { continue }
                    let reason = clash.map { "\($0)" } ?? failure.text
                    differences.append(TopologyDifference(object: name, isMissing: false, reason: reason))
                }
            }
            return differences
        }
    }
}

extension AMQPFailure {
    /// Throws the failure if the user lacks a permission, because the object may be as it should be.
    fileprivate func throwIfForbidden() throws(AMQPFailure) {
        if code == Self.accessRefused { throw self }
    }
}

extension AMQPCall {
    /// The name of the declared object and the call that checks whether it exists, or `nil` for other calls.
    fileprivate var passive: (name: String, call: AMQPCall)? {
        switch self {
        case .exchangeDeclare(let name, let type, _, _):
            (name, .exchangeDeclare(name: name, type: type, isPassive: true))
        case .queueDeclare(let queue): (queue.name, .queueDeclare(QueueDeclaration(name: queue.name, isPassive: true)))
        default: nil
        }
    }
}

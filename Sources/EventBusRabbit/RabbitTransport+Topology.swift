import ConnectionThread
public import EventBus
public import Logging

extension RabbitTransport {
    /// Declares everything that services with these subscriptions need, on a separate connection. Use it with a user
    /// who may declare, on behalf of services that may not. See ``RabbitConfiguration/Declaration/passive``.
    ///
    /// ```swift
    /// let queue = QueueSpecification(
    ///     group: "inventory", name: "order-created", patterns: ["order.created"], prefetch: 16)
    /// try await RabbitTransport.declareTopology(for: [queue], on: configuration)
    /// ```
    ///
    /// It may be called again at any time. Existing objects are not changed.
    ///
    /// - Parameters:
    ///   - queues: The subscriptions.
    ///   - configuration: The address of the broker, and the user who declares.
    ///   - logger: The logger for connections without verification. Defaults to swift-log's logger with the label
    ///     `eventbus.rabbitmq`.
    /// - Throws: ``/EventBus/EventBusError``: `.topologyClash`, `.accessRefused`, `.unavailable`, `.timedOut` if the
    ///   broker did not answer, and errors of connecting.
    public static func declareTopology(
        for queues: [QueueSpecification],
        on configuration: RabbitConfiguration,
        logger: Logger = Logger(label: "eventbus.rabbitmq")
    ) async throws {
        let plan = TopologyPlan(configuration)
        var calls = plan.shared
        for group in Set(queues.map(\.group)).sorted() { calls += plan.deadLetters(of: group) }
        try await withConnection(configuration, "declaring the topology", logger) {
            [calls] connection, channel throws(AMQPFailure) in
            _ = try await connection.call(calls, on: channel)
            for queue in queues where !queue.broadcast {
                let name = configuration.queueName(of: queue)
                _ = try await plan.declare(queue, name: name, after: [], on: connection)
            }
        }
    }

    /// Deletes the queue of a subscription that no longer exists, if it is empty and has no consumers.
    ///
    /// It is unbound first, so that no event arrives between the check and the deletion. A queue that still contains
    /// events is kept without bindings: let an instance of the old release handle them, or read them, and call again.
    /// The queue in which its delayed events wait is kept too, because clients cannot find out whether it contains any.
    ///
    /// - Parameters:
    ///   - group: The subscription's group.
    ///   - name: The subscription's name.
    ///   - patterns: The topics and patterns of the subscription, because the broker does not list them.
    ///   - configuration: The address of the broker.
    ///   - logger: The logger for connections without verification. Defaults to swift-log's logger with the label
    ///     `eventbus.rabbitmq`.
    /// - Returns: `true` if the queue existed.
    /// - Throws: ``/EventBus/EventBusError``: `.rejected` if it is in use or contains events, or belongs to another
    ///   system, `.accessRefused`, `.unavailable`, `.timedOut` if the broker did not answer.
    @discardableResult
    public static func retireQueue(
        group: String,
        name: String,
        patterns: [TopicPattern] = [],
        on configuration: RabbitConfiguration,
        logger: Logger = Logger(label: "eventbus.rabbitmq")
    ) async throws -> Bool {
        let own = configuration.queues["\(group).\(name)"]
        let queue = own?.name ?? "\(group).\(name)"
        if own?.isDeclared == false {
            throw EventBusError(.rejected, "\(queue) belongs to another system, which unbinds and deletes it")
        }
        let plan = TopologyPlan(configuration)
        return try await withConnection(configuration, "retiring \(queue)", logger) {
            connection,
            channel throws(AMQPFailure) in
            // Quorum queues do not support "if empty".
            let reply: AMQPReply
            do throws(AMQPFailure) {
                reply = try await connection.call(
                    .queueDeclare(QueueDeclaration(name: queue, isPassive: true)),
                    on: channel
                )
            } catch {
                if error.kind == .channelClosed(AMQPFailure.notFound) {
                    return Result<Bool, EventBusError>.success(false)
                }
                throw error
            }
            if case .queue(_, _, let consumers) = reply, consumers > 0 {
                return .failure(EventBusError(.rejected, "\(queue) has \(consumers) consumers; it stays as it is"))
            }
            try await connection.call(plan.unbindings(queue, patterns: patterns), on: channel)
            var events = try await QueueSample.count(in: queue, connection)
            // Silence of a queue with a single active consumer proves nothing while another consumer is active. The
            // sample's own consumer may be counted for a moment.
            var consumers = 0
            for attempt in 0..<10 where attempt == 0 || consumers > 0 {
                if attempt > 0 { try? await Task.sleep(for: .milliseconds(50)) }
                let again = AMQPCall.queueDeclare(QueueDeclaration(name: queue, isPassive: true))
                guard case .queue(_, let messages, let count) = try await connection.call(again, on: channel) else {
                    continue
                }
                events = max(events, messages)
                consumers = count
            }
            guard consumers == 0 else {
                return .failure(
                    EventBusError(.rejected, "\(queue) has \(consumers) consumers; it stays, and gets no new events")
                )
            }
            guard events == 0 else {
                return .failure(
                    EventBusError(.rejected, "\(queue) has \(events) events; it stays, and gets no new ones")
                )
            }
            try await connection.call(
                [.queueDelete(name: queue), .queueDelete(name: TopologyNames.crashRecord(of: queue))],
                on: channel
            )
            return .success(true)
        }.get()
    }

    /// Calls `body` with a new connection.
    static func withConnection<Value: Sendable>(
        _ configuration: RabbitConfiguration,
        _ activity: String,
        _ logger: Logger = Logger(label: "eventbus.rabbitmq"),
        role: String = "topology",
        _ body: @escaping @Sendable (RabbitConnection, UInt16) async throws(AMQPFailure) -> Value
    ) async throws -> Value {
        try configuration.validate()
        let thread = try ConnectionThread(name: "eventbus-adm")
        let watch = SendTimeoutMonitor()
        var machine = ReconnectStateMachine(hosts: configuration.hosts, reconnect: configuration.reconnect)
        var generator = SplitMix64(seed: .random(in: .min ... .max))
        var failure = EventBusError(.unavailable, "\(activity): there is no host")
        for _ in configuration.hosts {
            guard case .connect(let host) = machine.next(using: &generator) else { break }
            configuration.warnIfUnverified(host, BackgroundLogger(logger))
            let connection: RabbitConnection
            do throws(AMQPFailure) {
                connection = try await .open(
                    configuration,
                    at: host,
                    role: role,
                    number: 1,
                    thread: thread,
                    watch: watch
                )
            } catch {
                failure = error.unrepeated(error.loginError(at: host, configuration))
                continue
            }
            do throws(AMQPFailure) {
                return try await watch.watching { () async throws(AMQPFailure) in
                    try await Result { () async throws(AMQPFailure) in
                        try await body(connection, try await connection.openChannel { _ in })
                    }.afterwards { await connection.close() }.get()
                }
            } catch {
                failure = error.unrepeated(error.busError(while: activity))
                if error.isChannelOnly { break }
            }
        }
        throw failure
    }
}

extension Result {
    /// Creates the result of an asynchronous operation.
    fileprivate init(_ operation: () async throws(Failure) -> Success) async {
        do throws(Failure) {
            self = .success(try await operation())
        } catch {
            self = .failure(error)
        }
    }

    /// Returns the same result after `operation` is done.
    fileprivate func afterwards(_ operation: () async -> Void) async -> Self {
        await operation()
        return self
    }
}

extension RabbitTransport {
    /// Deletes queues and an exchange with all their content, for tests that leave nothing behind.
    package static func delete(
        queues: [String],
        exchange: String,
        on configuration: RabbitConfiguration
    ) async throws {
        let logger = Logger(label: "eventbus.rabbitmq", factory: { _ in SwiftLogNoOpLogHandler() })
        let calls =
            queues.flatMap { queue in
                [queue, TopologyNames.dueQueue(of: queue), TopologyNames.crashRecord(of: queue)]
                    .map { AMQPCall.queueDelete(name: $0) }
            } + [.exchangeDelete(name: exchange)]
        try await withConnection(configuration, "deleting queues", logger) { connection, channel throws(AMQPFailure) in
            _ = try await connection.call(calls, on: channel)
        }
    }
}

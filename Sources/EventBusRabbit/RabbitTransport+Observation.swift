import ConnectionThread
public import EventBus
public import Logging

extension RabbitTransport {
    /// Passes copies of the events to `body` while they are published, on a separate connection, until the task is
    /// cancelled or `body` throws.
    ///
    /// The copies come from a queue of its own, which ends with the connection, so that no subscription is affected. An
    /// observer that is slow loses the earliest of ``maximumObservedBacklog`` events. Retries and due scheduled events
    /// are not observed, because they do not pass through the exchange of events.
    ///
    /// ```swift
    /// try await RabbitTransport.observe(["order.#"], on: configuration) { event in
    ///     print(event.topic, event.id)
    /// }
    /// ```
    ///
    /// - Parameters:
    ///   - patterns: The patterns of the topics.
    ///   - configuration: The address of the broker. The user must be allowed to declare a queue and to bind it to the
    ///     exchange of events.
    ///   - name: The name of the observer's queue, or `nil` for a new one. An event that is sent to it through the
    ///     default exchange is observed too, if there is only one pattern and it is a topic. Defaults to `nil`.
    ///   - logger: The logger for connections without verification. Defaults to swift-log's logger with the label
    ///     `eventbus.rabbitmq`.
    ///   - onStart: A closure that is called when every event from now on is observed. Defaults to doing nothing.
    ///   - body: A closure that is called with each event, in order.
    /// - Throws: The error of `body`; ``/EventBus/EventBusError``: `.authenticationFailed`, `.accessRefused`,
    ///   `.notFound` if there is no such exchange, `.unavailable`, or `.timedOut` if the broker did not answer, if the
    ///   connection was lost and there is no other host.
    public static func observe(
        _ patterns: [TopicPattern],
        on configuration: RabbitConfiguration,
        queue name: String? = nil,
        logger: Logger = Logger(label: "eventbus.rabbitmq"),
        onStart: @escaping @Sendable () async -> Void = {},
        _ body: @escaping @Sendable (Envelope) async throws -> Void
    ) async throws {
        let decoder = MessageDecoder(events: configuration.exchange, patterns: patterns)
        let queue = QueueDeclaration(
            name: name ?? "\(configuration.clientName).observer.\(EventID().rawValue)",
            isDurable: false,
            isExclusive: true,
            isAutoDeleted: true,
            arguments: [
                "x-queue-type": "classic",
                "x-max-length": .int(Int64(maximumObservedBacklog)),
                "x-overflow": "drop-head",
            ]
        )
        var calls = [AMQPCall.queueDeclare(queue)]
        calls += patterns.map {
            .queueBind(queue: queue.name, exchange: configuration.exchange, routingKey: $0.rawValue)
        }
        calls += [.basicQos(prefetch: 100), .basicConsume(queue: queue.name, tag: "observer")]
        try await withConnection(configuration, "observing events", logger, role: "observer") {
            [calls] connection, _ throws(AMQPFailure) in
            let feed = LetterFeed()
            let channel = try await connection.openChannel { feed.handle($0) }
            try await connection.call(calls, on: channel)
            await onStart()
            do {
                while true {
                    // Short, because the timer of each wait lasts until then.
                    let deadline = MonotonicTime.now.advanced(by: .seconds(1))
                    guard let delivery = try await feed.next(until: deadline, thread: connection.thread) else {
                        continue
                    }
                    if let decoded = try? decoder.decode(delivery.message, in: queue.name) {
                        try await body(decoded.envelope)
                    }
                    await connection.acknowledge(delivery.deliveryTag, multiple: false, on: channel)
                }
            } catch let failure as AMQPFailure {
                throw failure
            } catch {
                return Result<Void, any Error>.failure(error)
            }
        }.get()
    }

    /// The maximum number of events that wait for an observer.
    public static let maximumObservedBacklog = 10_000
}

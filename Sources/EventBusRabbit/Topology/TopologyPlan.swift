import EventBus

/// The exchanges, queues and bindings that the bus needs, as the methods that declare them.
///
/// The arguments never change, because a change would clash with every existing queue. Use operator policies to tune
/// queues.
struct TopologyPlan: Sendable {
    let exchange: String
    let queueType: RabbitConfiguration.QueueType
    /// A Boolean value indicating whether queues also receive scheduled events of the whole virtual host.
    let takesSharedSchedules: Bool
    /// The queues that differ from those that the bus would declare.
    let queues: [String: RabbitConfiguration.Queue]

    init(_ configuration: RabbitConfiguration) {
        self.exchange = configuration.exchange
        self.queueType = configuration.queueType
        self.takesSharedSchedules = configuration.scheduling != .isolated
        self.queues = configuration.queues
    }

    /// The arguments of a queue whose events are kept until someone acts.
    private static let restingArguments: [String: HeaderValue] = [
        "x-queue-type": "quorum",
        // Newer brokers drop events that were returned 20 times, and reading an event returns it.
        "x-delivery-limit": noDeliveryLimit,
    ]

    /// The delivery limit of a queue without one.
    private static let noDeliveryLimit: HeaderValue = 1_000_000_000

    // MARK: Shared objects

    /// The calls that declare the exchanges and the delay levels.
    var shared: [AMQPCall] {
        var calls: [AMQPCall] = [
            .exchangeDeclare(name: exchange, type: "topic"),
            .exchangeDeclare(name: TopologyNames.deadLetterExchange, type: "direct"),
            .exchangeDeclare(name: TopologyNames.delayUnroutable, type: "fanout"),
            .queueDeclare(
                QueueDeclaration(name: TopologyNames.delayUnroutable, arguments: Self.restingArguments)
            ),
            .queueBind(queue: TopologyNames.delayUnroutable, exchange: TopologyNames.delayUnroutable, routingKey: ""),
            .exchangeDeclare(
                name: TopologyNames.delayExit,
                type: "topic",
                // The worker of at-least-once dead-lettering keeps events that cannot be routed, at most 32. Without
                // this exchange, 32 retries to a deleted queue would stop all delays permanently.
                arguments: ["alternate-exchange": .string(TopologyNames.delayUnroutable)]
            ),
            .exchangeDeclare(
                name: TopologyNames.delayDue,
                type: "direct",
                arguments: ["alternate-exchange": .string(TopologyNames.delayUnroutable)]
            ),
        ]
        for level in 0..<DelayRoute.levels {
            let name = TopologyNames.delayLevel(level)
            let next = level == 0 ? TopologyNames.delayExit : TopologyNames.delayLevel(level - 1)
            calls += [
                .exchangeDeclare(name: name, type: "topic"),
                .queueDeclare(
                    QueueDeclaration(
                        name: name,
                        arguments: [
                            "x-queue-type": "quorum",
                            "x-message-ttl": .int(100 << Int64(level)),
                            "x-dead-letter-exchange": .string(next),
                            "x-dead-letter-strategy": "at-least-once",
                            "x-overflow": "reject-publish",
                        ]
                    )
                ),
                .queueBind(queue: name, exchange: name, routingKey: DelayRoute.pattern(bit: 1, ofLevel: level)),
                .exchangeBind(source: name, destination: next, routingKey: DelayRoute.pattern(bit: 0, ofLevel: level)),
            ]
        }
        return calls
    }

    /// The calls of ``shared`` that bind.
    var sharedBindings: [AMQPCall] { Self.bindings(in: shared) }

    private static func bindings(in calls: [AMQPCall]) -> [AMQPCall] {
        calls.filter { call in
            switch call {
            case .queueBind, .exchangeBind: true
            default: false
            }
        }
    }

    /// The calls that check for the objects of ``shared`` without declaring them.
    var sharedCheck: [AMQPCall] {
        shared.compactMap { call in
            switch call {
            case .exchangeDeclare(let name, let type, _, _):
                .exchangeDeclare(name: name, type: type, isPassive: true)
            case .queueDeclare(let queue):
                .queueDeclare(QueueDeclaration(name: queue.name, isPassive: true))
            default: nil
            }
        }
    }

    // MARK: Groups

    /// Returns the calls that declare the queue of a group's dead letters.
    func deadLetters(of group: String) -> [AMQPCall] {
        let name = TopologyNames.deadLetterQueue(of: group)
        return [
            .queueDeclare(
                QueueDeclaration(name: name, arguments: Self.restingArguments)
            ),
            .queueBind(queue: name, exchange: TopologyNames.deadLetterExchange, routingKey: group),
        ]
    }

    /// Returns the calls of ``deadLetters(of:)`` that bind.
    func deadLetterBindings(of group: String) -> [AMQPCall] { Self.bindings(in: deadLetters(of: group)) }

    /// Returns the calls that check for the objects of ``deadLetters(of:)`` without declaring them.
    func deadLettersCheck(of group: String) -> [AMQPCall] {
        [.queueDeclare(QueueDeclaration(name: TopologyNames.deadLetterQueue(of: group), isPassive: true))]
    }

    // MARK: Subscriptions

    /// Returns a Boolean value indicating whether another system owns the queue of a subscription.
    func isForeign(_ specification: QueueSpecification) -> Bool {
        queues[specification.queueName].map { !$0.isDeclared } ?? false
    }

    /// Returns the calls that declare a subscription's queue and its bindings, or check whether the queue of another
    /// system exists.
    ///
    /// - Parameter isOld: `true` for a queue that an earlier release declared.
    func subscription(_ specification: QueueSpecification, name: String, isOld: Bool = false) -> [AMQPCall] {
        var declaration = QueueDeclaration(name: name, isPassive: true)
        if !isForeign(specification) { declaration = queue(specification, name: name, isOld: isOld) }
        var calls = [AMQPCall.queueDeclare(declaration)]
        if hasCrashRecord(specification) { calls.append(.queueDeclare(crashRecord(of: name))) }
        return calls + bindings(specification, name: name)
    }

    /// Returns a Boolean value indicating whether the consumers of a subscription's queue that end without closing it
    /// are counted in a crash record.
    func hasCrashRecord(_ specification: QueueSpecification) -> Bool {
        specification.singleActiveConsumer && !specification.broadcast && queueType == .quorum
    }

    /// Returns the queue with the crash record of a subscription's queue.
    func crashRecord(of name: String) -> QueueDeclaration {
        QueueDeclaration(name: TopologyNames.crashRecord(of: name), arguments: Self.restingArguments)
    }

    /// Returns the queue of a subscription. `name` differs from the specification's for a broadcast.
    ///
    /// - Parameter isOld: `true` for a queue that an earlier release declared.
    func queue(_ specification: QueueSpecification, name: String, isOld: Bool = false) -> QueueDeclaration {
        var arguments: [String: HeaderValue] = [
            "x-dead-letter-exchange": .string(TopologyNames.deadLetterExchange),
            "x-dead-letter-routing-key": .string(specification.group),
        ]
        if specification.broadcast {
            arguments["x-queue-type"] = "classic"
            return QueueDeclaration(
                name: name,
                isDurable: false,
                // It ends with its connection, or is deleted. It is not always consumed.
                isExclusive: true,
                arguments: arguments
            )
        }
        arguments["x-queue-type"] = .string(queueType.rawValue)
        if queueType == .quorum {
            arguments["x-dead-letter-strategy"] = "at-least-once"
            arguments["x-overflow"] = "reject-publish"
            // Brokers before 4.3 also count the deliveries that an orderly close returns. Where the order prevents that
            // they are returned as copies, the limit is the transport's own.
            arguments["x-delivery-limit"] =
                hasCrashRecord(specification) && !isOld
                ? Self.noDeliveryLimit : .int(Int64(RedeliveryLimits.maximum))
        }
        if specification.singleActiveConsumer { arguments["x-single-active-consumer"] = true }
        arguments.merge(queues[specification.queueName]?.arguments ?? [:]) { _, own in own }
        return QueueDeclaration(name: name, arguments: arguments)
    }

    /// Returns the queue in which a subscription's delayed events wait until its own queue accepts them.
    ///
    /// The worker of each delay level has room for 32 events that are not accepted, so a full queue would block the
    /// delays of all services. The events therefore move from the levels to this queue, where they expire immediately
    /// and only its own worker waits.
    func dueQueue(of name: String) -> QueueDeclaration {
        QueueDeclaration(
            name: TopologyNames.dueQueue(of: name),
            arguments: [
                "x-queue-type": "quorum",
                "x-message-ttl": 0,
                "x-dead-letter-exchange": .string(TopologyNames.delayDue),
                "x-dead-letter-routing-key": .string(name),
                "x-dead-letter-strategy": "at-least-once",
                "x-overflow": "reject-publish",
            ]
        )
    }

    /// Returns the calls that bind a subscription's queue and unbind its former patterns.
    func bindings(_ specification: QueueSpecification, name: String) -> [AMQPCall] {
        var calls: [AMQPCall] = []
        // The queue of a broadcast ends with its connection, including its bindings.
        let due = specification.broadcast ? name : TopologyNames.dueQueue(of: name)
        if !specification.broadcast {
            calls += [
                .queueDeclare(dueQueue(of: name)),
                .queueBind(queue: name, exchange: TopologyNames.delayDue, routingKey: name),
                exit(DelayRoute.Destination.queue(name).key, to: due),
            ]
        }
        for pattern in specification.patterns { calls.append(exit(scheduleKey(pattern), to: due)) }
        // The owner of the other system's queue is responsible for its other bindings.
        guard !isForeign(specification) else { return calls }
        // Retries that the first releases sent.
        if !specification.broadcast { calls.append(exit("q.\(name)", to: name)) }
        for pattern in specification.patterns {
            calls += [
                .queueBind(queue: name, exchange: exchange, routingKey: pattern.rawValue),
                exit(sharedScheduleKey(pattern), to: name, isBound: takesSharedSchedules),
            ]
        }
        for pattern in specification.formerPatterns where !specification.patterns.contains(pattern) {
            calls += unbindings(pattern, name: name, due: due)
        }
        return calls
    }

    /// Returns the calls that remove all bindings of a queue. Its content is kept.
    func unbindings(_ name: String, patterns: [TopicPattern]) -> [AMQPCall] {
        let due = TopologyNames.dueQueue(of: name)
        let retries = [
            exit(DelayRoute.Destination.queue(name).key, to: due, isBound: false),
            exit("q.\(name)", to: name, isBound: false),
            // Events that are due then stay in their queue, instead of being confirmed into one that is deleted.
            .queueUnbind(queue: name, exchange: TopologyNames.delayDue, routingKey: name),
        ]
        return retries + patterns.flatMap { unbindings($0, name: name, due: due) }
    }

    private func unbindings(_ pattern: TopicPattern, name: String, due: String) -> [AMQPCall] {
        [
            .queueUnbind(queue: name, exchange: exchange, routingKey: pattern.rawValue),
            exit(scheduleKey(pattern), to: due, isBound: false),
            exit(sharedScheduleKey(pattern), to: name, isBound: false),
        ]
    }

    /// Returns the call that binds a queue to the end of the delay levels, or unbinds it.
    private func exit(_ key: String, to queue: String, isBound: Bool = true) -> AMQPCall {
        let (exchange, routingKey) = (TopologyNames.delayExit, DelayRoute.exitPattern(key))
        return isBound
            ? .queueBind(queue: queue, exchange: exchange, routingKey: routingKey)
            : .queueUnbind(queue: queue, exchange: exchange, routingKey: routingKey)
    }

    /// Returns the end of the routing keys of the exchange's scheduled events that match a pattern.
    private func scheduleKey(_ pattern: TopicPattern) -> String {
        "e.\(DelayRoute.token(of: exchange)).\(pattern.rawValue)"
    }

    /// Returns the same for events that the first releases scheduled.
    private func sharedScheduleKey(_ pattern: TopicPattern) -> String { "t.\(pattern.rawValue)" }
}

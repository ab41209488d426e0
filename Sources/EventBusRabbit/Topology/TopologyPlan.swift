import EventBus

/// Which exchanges, queues and bindings the bus needs, as the methods that declare them.
///
/// The arguments are frozen: a changed one is a clash with every queue that exists. What is to be tuned is an operator
/// policy.
struct TopologyPlan: Sendable {
    let exchange: String
    let queueType: RabbitConfiguration.QueueType
    /// Whether queues take scheduled events of the whole virtual host too.
    let takesSharedSchedules: Bool
    /// The queues that differ from those that the bus declares by itself.
    let queues: [String: RabbitConfiguration.Queue]

    init(_ configuration: RabbitConfiguration) {
        self.exchange = configuration.exchange
        self.queueType = configuration.queueType
        self.takesSharedSchedules = configuration.scheduling != .isolated
        self.queues = configuration.queues
    }

    /// The arguments of a queue whose events rest until someone acts.
    private static let restingArguments: [String: HeaderValue] = [
        "x-queue-type": "quorum",
        // Newer brokers drop what was returned 20 times, and every look at an event returns it.
        "x-delivery-limit": 1_000_000_000,
    ]

    // MARK: shared by all services

    /// The exchanges, and the delay levels.
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
                // The worker behind at-least-once dead-lettering keeps what cannot be routed, 32 events at most: without
                // this, 32 retries to a deleted queue would stop all delays for good.
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

    /// Asks whether what ``shared`` declares is there, without declaring it.
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

    // MARK: of one group

    /// The queue in which a group's dead letters rest.
    func deadLetters(of group: String) -> [AMQPCall] {
        let name = TopologyNames.deadLetterQueue(of: group)
        return [
            .queueDeclare(
                QueueDeclaration(name: name, arguments: Self.restingArguments)
            ),
            .queueBind(queue: name, exchange: TopologyNames.deadLetterExchange, routingKey: group),
        ]
    }

    /// Asks whether what ``deadLetters(of:)`` declares is there, without declaring it.
    func deadLettersCheck(of group: String) -> [AMQPCall] {
        [.queueDeclare(QueueDeclaration(name: TopologyNames.deadLetterQueue(of: group), isPassive: true))]
    }

    // MARK: of one subscription

    /// Returns whether another system owns the queue of a subscription.
    func isForeign(_ specification: QueueSpecification) -> Bool {
        queues[specification.queueName].map { !$0.isDeclared } ?? false
    }

    /// Declares a subscription's queue and what leads into it, or checks whether the queue of another system is there.
    func subscription(_ specification: QueueSpecification, name: String) -> [AMQPCall] {
        let declaration =
            isForeign(specification) ? QueueDeclaration(name: name, isPassive: true) : queue(specification, name: name)
        return [.queueDeclare(declaration)] + bindings(specification, name: name)
    }

    /// The queue of a subscription; `name` differs from the specification's for a broadcast.
    func queue(_ specification: QueueSpecification, name: String) -> QueueDeclaration {
        var arguments: [String: HeaderValue] = [
            "x-dead-letter-exchange": .string(TopologyNames.deadLetterExchange),
            "x-dead-letter-routing-key": .string(specification.group),
        ]
        if specification.broadcast {
            arguments["x-queue-type"] = "classic"
            return QueueDeclaration(
                name: name,
                isDurable: false,
                isExclusive: true,
                isAutoDeleted: true,
                arguments: arguments
            )
        }
        arguments["x-queue-type"] = .string(queueType.rawValue)
        if queueType == .quorum {
            arguments["x-dead-letter-strategy"] = "at-least-once"
            arguments["x-overflow"] = "reject-publish"
            arguments["x-delivery-limit"] = 20
        }
        if specification.singleActiveConsumer { arguments["x-single-active-consumer"] = true }
        arguments.merge(queues[specification.queueName]?.arguments ?? [:]) { _, own in own }
        return QueueDeclaration(name: name, arguments: arguments)
    }

    /// The queue in which a subscription's delayed events wait until its own takes them.
    ///
    /// The worker behind each delay level has room for 32 events that are not taken: a full queue would hold up the delays
    /// of all services. So they leave the levels for this queue, whose events expire at once, and its own worker waits.
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

    /// What leads events into a subscription's queue, and the unbinding of its former patterns.
    func bindings(_ specification: QueueSpecification, name: String) -> [AMQPCall] {
        var calls: [AMQPCall] = []
        // A broadcast's queue ends with its connection, and what leads into it with it.
        let due = specification.broadcast ? name : TopologyNames.dueQueue(of: name)
        if !specification.broadcast {
            calls += [
                .queueDeclare(dueQueue(of: name)),
                .queueBind(queue: name, exchange: TopologyNames.delayDue, routingKey: name),
                exit(DelayRoute.Destination.queue(name).key, to: due),
            ]
        }
        for pattern in specification.patterns { calls.append(exit(scheduleKey(pattern), to: due)) }
        // What else leads into the queue of another system is its owner's.
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

    /// What takes everything away that leads new events into a queue; what it holds stays.
    func unbindings(_ name: String, patterns: [TopicPattern]) -> [AMQPCall] {
        let due = TopologyNames.dueQueue(of: name)
        let retries = [
            exit(DelayRoute.Destination.queue(name).key, to: due, isBound: false),
            exit("q.\(name)", to: name, isBound: false),
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

    /// Binds a queue to the end of the delay levels, or unbinds it.
    private func exit(_ key: String, to queue: String, isBound: Bool = true) -> AMQPCall {
        let (exchange, routingKey) = (TopologyNames.delayExit, DelayRoute.exitPattern(key))
        return isBound
            ? .queueBind(queue: queue, exchange: exchange, routingKey: routingKey)
            : .queueUnbind(queue: queue, exchange: exchange, routingKey: routingKey)
    }

    /// The end of the routing keys of the exchange's scheduled events that a pattern matches.
    private func scheduleKey(_ pattern: TopicPattern) -> String {
        "e.\(DelayRoute.token(of: exchange)).\(pattern.rawValue)"
    }

    /// The same of those that the first releases scheduled.
    private func sharedScheduleKey(_ pattern: TopicPattern) -> String { "t.\(pattern.rawValue)" }
}

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

    init(_ configuration: RabbitConfiguration) {
        self.exchange = configuration.exchange
        self.queueType = configuration.queueType
        self.takesSharedSchedules = configuration.scheduling != .isolated
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
        return QueueDeclaration(name: name, arguments: arguments)
    }

    /// The bindings of a subscription's queue, and the unbinding of its former patterns.
    func bindings(_ specification: QueueSpecification, name: String) -> [AMQPCall] {
        var calls: [AMQPCall] = []
        for pattern in specification.patterns {
            calls.append(.queueBind(queue: name, exchange: exchange, routingKey: pattern.rawValue))
            // Scheduled events reach broadcasts too.
            for key in scheduleKeys(pattern) {
                calls.append(.queueBind(queue: name, exchange: TopologyNames.delayExit, routingKey: key.binding))
            }
            for key in retiredScheduleKeys(pattern) {
                calls.append(.queueUnbind(queue: name, exchange: TopologyNames.delayExit, routingKey: key.binding))
            }
        }
        if !specification.broadcast {
            calls.append(
                .queueBind(
                    queue: name,
                    exchange: TopologyNames.delayExit,
                    routingKey: DelayRoute.exitPattern("q.\(name)")
                )
            )
        }
        for pattern in specification.formerPatterns where !specification.patterns.contains(pattern) {
            calls.append(.queueUnbind(queue: name, exchange: exchange, routingKey: pattern.rawValue))
            for key in scheduleKeys(pattern) + retiredScheduleKeys(pattern) {
                calls.append(.queueUnbind(queue: name, exchange: TopologyNames.delayExit, routingKey: key.binding))
            }
        }
        return calls
    }

    /// What takes everything away that leads new events into a queue; what it holds stays.
    func unbindings(_ name: String, patterns: [TopicPattern]) -> [AMQPCall] {
        var calls: [AMQPCall] = [
            .queueUnbind(
                queue: name,
                exchange: TopologyNames.delayExit,
                routingKey: DelayRoute.exitPattern("q.\(name)")
            )
        ]
        for pattern in patterns {
            calls.append(.queueUnbind(queue: name, exchange: exchange, routingKey: pattern.rawValue))
            for key in scheduleKeys(pattern) + retiredScheduleKeys(pattern) {
                calls.append(.queueUnbind(queue: name, exchange: TopologyNames.delayExit, routingKey: key.binding))
            }
        }
        return calls
    }

    /// The ends of the routing keys of scheduled events that a pattern matches.
    private struct ScheduleKey {
        var end: String
        var binding: String { DelayRoute.exitPattern(end) }
    }

    private func scheduleKeys(_ pattern: TopicPattern) -> [ScheduleKey] {
        var keys = [ScheduleKey(end: "e.\(DelayRoute.token(of: exchange)).\(pattern.rawValue)")]
        if takesSharedSchedules { keys.append(ScheduleKey(end: "t.\(pattern.rawValue)")) }
        return keys
    }

    private func retiredScheduleKeys(_ pattern: TopicPattern) -> [ScheduleKey] {
        takesSharedSchedules ? [] : [ScheduleKey(end: "t.\(pattern.rawValue)")]
    }
}

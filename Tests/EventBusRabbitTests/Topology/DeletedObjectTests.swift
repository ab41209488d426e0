import EventBus
import EventBusRabbit
import EventBusTesting
import Testing

/// An operator deletes the objects that the library declared, one after another, while they are in use.
@Suite(.serialized, .timeLimit(.minutes(8)))
struct DeletedObjectTests {
    @Test(arguments: RabbitConfiguration.QueueType.allCases)
    func `whatever is deleted is declared again, and what was in hand goes on`(
        type: RabbitConfiguration.QueueType
    ) async throws {
        let shared = try await TestBroker.shared()
        try #require(shared.directory != nil, "needs a broker of our own")
        let name = freshName()
        try await shared.addVirtualHost(name)
        let configuration = try shared.configuration {
            $0.virtualHost = name
            $0.queueType = type
            // Every fifth check finds missing objects that no event has revealed.
            $0.consumerCheckInterval = .milliseconds(200)
        }
        let bus = try EventBus(transport: .rabbit(configuration))
        let attempts = SeenNumbers()
        let handled = SeenNumbers()
        let topic = try Topic(validating: "\(name).probe")
        bus.subscribe(
            to: TopicPattern(topic),
            group: "group",
            name: "probe",
            options: .init(retry: .fixed(.milliseconds(100), maximumAttempts: 2))
        ) { event, context in
            attempts.note(event.envelope)
            let number = Int(String(decoding: event.envelope.payload, as: UTF8.self)) ?? 0
            // Even numbers are handled at the second attempt, and odd ones never.
            if number % 2 == 1 || context.attempt == 1 { throw HandlerFailed() }
            handled.note(event.envelope)
        }
        let others = try Others(configuration, isKhepri: try await shared.majorVersion() >= 4)
        let (paused, expiring) = others.pausedSubscriptions(on: bus)
        let objects = [
            "queue group.dead", "exchange eventbus.dead.v1", "exchange events", "queue group.probe",
            "exchange eventbus.delay.v1.exit", "queue eventbus.delay.v1.0", "exchange eventbus.delay.v1.0",
            "exchange eventbus.delay.v1.due", "queue eventbus.delay.v1.due.group.probe", "queue eventbus.delay.v1.1",
            "queue eventbus.delay.v1.unroutable", "exchange eventbus.delay.v1.unroutable",
            "queue paused.probe", "queue paused.dead", "queue eventbus.delay.v1.due.paused.probe",
        ]
        try await others.withRunning(bus) {
            await paused.pause()
            await expiring.pause()
            let letters = bus.deadLetters(of: "group")
            for (index, object) in objects.enumerated() {
                let before = try await letters.count()
                let name = String(object.split(separator: " ")[1])
                if object.hasPrefix("queue") {
                    try await RawClient.delete(queue: name, configuration)
                } else {
                    try await RawClient.delete(exchange: name, configuration)
                }
                let deleted = ContinuousClock.now
                if object.contains(".due.") {
                    // Events that are due before the next check are kept with the unroutable delays.
                    try await eventually("\(object): declared again", within: .seconds(10)) {
                        try await RawClient.count(queue: name, configuration) != nil
                    }
                }
                let (good, bad, scheduled) = (index * 10, index * 10 + 1, index * 10 + 2)
                for number in [good, bad] {
                    // Until the queue exists again, nobody subscribes.
                    try await eventually("\(object): routed", within: .seconds(30)) {
                        let event = Envelope(topic: topic, payload: Array("\(number)".utf8))
                        return try await bus.publish(event).outcome == .routed
                    }
                }
                let event = Envelope(topic: topic, payload: Array("\(scheduled)".utf8))
                let receipt = try await bus.publish(event, options: .init(delay: .milliseconds(300)))
                #expect(receipt.outcome == .scheduled, "\(object)")
                try await eventually("\(object): retried and scheduled", within: .seconds(60)) {
                    handled.all.isSuperset(of: [good, scheduled])
                }
                let expected = object == "queue group.dead" ? 1 : before + 1
                try await eventually("\(object): dead-lettered", within: .seconds(60)) {
                    try await letters.count() == expected
                }
                print("\(type), \(object): works again after \(deleted.duration(to: .now))")
                try await others.check(after: object, on: bus)
                print("\(type), \(object): works for all after \(deleted.duration(to: .now))")
            }
            let kept = try await others.publish(on: bus)
            paused.resume()
            try await eventually("the paused subscription has all that came after the last deletion") {
                others.resumed.all.isSuperset(of: kept)
            }
            let letter = try await letters.entries(limit: 1)[0]
            #expect(letter.failure.reason == .attemptsExhausted)
        }
    }
}

/// The users of the deleted objects beside the service: another service, a paused subscription, and another one whose events expire, so
/// that the broker makes dead letters of them. They have topics of their own.
private final class Others: Sendable {
    /// The events that the paused subscription has handled after all.
    let resumed = SeenNumbers()
    private let seen = SeenNumbers()
    private let service: EventBus
    private let topic = Topic("other.created")
    private let expiring = Topic("other.expiring")
    private let isKhepri: Bool
    private let next = Locked(0)

    /// Creates the other service, which finds objects missing later than the service that is tested.
    ///
    /// - Parameter isKhepri: `true` for a broker that is asked for bindings rarely.
    init(_ configuration: RabbitConfiguration, isKhepri: Bool) throws {
        var configuration = configuration
        configuration.consumerCheckInterval = .milliseconds(400)
        self.isKhepri = isKhepri
        service = try EventBus(transport: .rabbit(configuration))
        service.subscribe(to: TopicPattern(topic), group: "other", name: "probe") { [seen] event, _ in
            seen.note(event.envelope)
        }
    }

    func pausedSubscriptions(on bus: EventBus) -> (Subscription, expiring: Subscription) {
        let paused = bus.subscribe(to: TopicPattern(topic), group: "paused", name: "probe") { [resumed] event, _ in
            resumed.note(event.envelope)
        }
        return (paused, bus.subscribe(to: TopicPattern(expiring), group: "paused", name: "expiring") { _, _ in })
    }

    func withRunning(_ bus: EventBus, _ body: @escaping @Sendable () async throws -> Void) async throws {
        try await service.withRunning { try await bus.withRunning(body) }
    }

    /// Publishes an event, and returns its number.
    func publish(on bus: EventBus, _ options: PublishOptions = .init()) async throws -> Set<Int> {
        let number = next.withLock { next in
            defer { next += 1 }
            return next
        }
        try await bus.publish(Envelope(topic: topic, payload: Array("\(number)".utf8)), options: options)
        return [number]
    }

    /// Publishes until the dead letters of the broker and the other service have got something, at once and delayed.
    func check(after object: String, on bus: EventBus) async throws {
        // Without evidence, it takes minutes until another service binds its queues again.
        if isKhepri, object.hasPrefix("exchange") { return }
        let letters = bus.deadLetters(of: "paused")
        let before = try await letters.count()
        try await eventually("\(object): a dead letter of the broker") {
            try await bus.publish(
                Envelope(topic: expiring, payload: []),
                options: .init(expiration: .milliseconds(50))
            )
            return try await letters.count() > before
        }
        for options in [PublishOptions(), PublishOptions(delay: .milliseconds(100))] {
            var sent: Set<Int> = []
            try await eventually("\(object): handled by the other service, delayed by \(options.delay)") {
                sent.formUnion(try await publish(on: bus, options))
                return !seen.all.isDisjoint(with: sent)
            }
        }
    }
}

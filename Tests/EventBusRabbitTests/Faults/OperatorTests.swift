import EventBus
import EventBusRabbit
import EventBusTesting
import Testing

extension FaultTests {
    /// Interventions of an operator under a steady flow of events, retries, dead letters and delays. Each test prints its
    /// figures.
    @Suite(.serialized, .timeLimit(.minutes(5)))
    struct OperatorTests {
        @Test(arguments: OperatorIntervention.onQueues)
        func `an operator's intervention loses nothing that was confirmed, and everything runs again after it`(
            _ intervention: OperatorIntervention,
            on type: RabbitConfiguration.QueueType
        ) async throws {
            let scene = try await OperatorScene(FaultTests.broker(), type)
            try await scene.bus.withRunning {
                let running = Task {
                    await scene.load.run(scene.bus, topic: scene.topic, tasks: 4, deadline: .seconds(2)) { _ in true }
                }
                // Whatever fails, the broker is restored and the load ends.
                let outcome = await Self.outcome { try await scene.flows(after: .now, within: .seconds(60)) }
                let intervening = await Self.outcome {
                    try outcome.get()
                    return try await intervention.begin(scene)
                }
                let ending = await Self.outcome { try await intervention.end(scene) }
                let end = ContinuousClock.now
                let flowing = await Self.outcome {
                    try ending.get()
                    try await scene.flows(after: end, within: .seconds(30))
                }
                let duration = end.duration(to: .now)
                scene.load.stop()
                await running.value
                let removed = try intervening.get()
                try flowing.get()
                #expect(scene.load.unanswered.isEmpty)
                #expect(scene.load.overdue < .seconds(2))
                let missing = try await scene.missing(except: removed)
                print(
                    """
                    op: \(intervention), \(type): confirmed \(scene.load.confirmed.count), lost \(missing.count), \
                    errors \(scene.load.errors), everything runs \(duration) after the end
                    """
                )
                #expect(missing == [])
            }
            try await scene.broker.control("delete_user", scene.user)
        }

        private static func outcome<Value: Sendable>(
            _ body: () async throws -> Value
        ) async -> Result<Value, any Error> {
            do {
                return .success(try await body())
            } catch {
                return .failure(error)
            }
        }
    }
}

/// A temporary measure of an operator.
enum OperatorIntervention: CaseIterable, Sendable {
    case permissionsCleared, permissionsClearedAndConnectionsClosed
    case configuringForbidden, writingForbidden, readingForbidden
    case passwordChanged
    case queuePurged
    case exchangeDeleted
    case bindingDeleted
    case connectionsLimited, channelsLimited, queuesLimited
    case connectionsClosed
    case memoryAlarm
    case maintenance

    /// All interventions on quorum queues, and those that concern queues on classic ones too.
    static let onQueues: [(OperatorIntervention, RabbitConfiguration.QueueType)] =
        allCases.map { ($0, .quorum) }
        + [.permissionsCleared, .writingForbidden, .readingForbidden, .queuePurged, .bindingDeleted].map {
            ($0, .classic)
        }

    /// Intervenes, and returns when its effect has been noticed.
    ///
    /// - Returns: The numbers of the events that the operator has removed, or may have removed.
    func begin(_ scene: OperatorScene) async throws -> Set<Int> {
        let (broker, user, host) = (scene.broker, scene.user, scene.host)
        switch self {
        case .permissionsCleared:
            try await broker.control("clear_permissions", "-p", host, user)
            // A busy channel keeps the permissions that it has used. One that uses another one is closed.
            try await scene.notices("a refused delay") {
                await scene.code(ofPublishingAfter: .seconds(60)) == .accessRefused
            }
            try await scene.notices("a refused publish") { scene.load.errors["accessRefused"] != nil }
        case .permissionsClearedAndConnectionsClosed:
            try await broker.control("clear_permissions", "-p", host, user)
            try await scene.closeConnections()
            try await scene.notices("a refused login") { scene.isDown && !scene.load.errors.isEmpty }
        case .configuringForbidden:
            try await broker.control("set_permissions", "-p", host, user, "^$", ".*", ".*")
            try await scene.closeConnections()
            // A broadcast needs a new queue for each connection.
            try await scene.notices("a refused queue") { scene.reason(of: "group.all")?.contains("403") == true }
        case .writingForbidden:
            try await broker.control("set_permissions", "-p", host, user, ".*", "^$", ".*")
            try await scene.closeConnections()
            try await scene.notices("a refused publish") { scene.load.errors["accessRefused"] != nil }
        case .readingForbidden:
            try await broker.control("set_permissions", "-p", host, user, ".*", ".*", "^$")
            try await scene.closeConnections()
            try await scene.notices("a refused consumer") { scene.reason(of: "group.probe")?.contains("403") == true }
        case .passwordChanged:
            try await broker.control("change_password", user, "other")
            try await scene.closeConnections()
            try await scene.notices("a refused login") { scene.isDown && !scene.load.errors.isEmpty }
        case .queuePurged:
            try await broker.control("purge_queue", "-p", host, "group.probe")
            return Set(1...scene.load.count).subtracting(scene.handled.all)
        case .exchangeDeleted:
            try await RawClient.delete(exchange: "events", scene.owner)
        case .bindingDeleted:
            try await RawClient.unbind(queue: "group.probe", from: "events", key: "op.probe", scene.owner)
            // Meanwhile events are routed to the broadcast only, which nobody can notice.
            // Since RabbitMQ 4.0, bindings are restored about every three minutes.
            let limit = try await broker.majorVersion() >= 4 ? Duration.seconds(240) : .seconds(20)
            try await scene.notices("bound again", within: limit) {
                try await broker.control("list_bindings", "-p", host, "source_name", "destination_name")
                    .contains("events\tgroup.probe")
            }
            return Set(1...scene.load.count).subtracting(scene.handled.all)
        case .connectionsLimited:
            try await broker.control("set_vhost_limits", "-p", host, #"{"max-connections": 0}"#)
            try await scene.closeConnections()
            try await scene.notices("a refused login") { scene.isDown && !scene.load.errors.isEmpty }
        case .channelsLimited:
            try await broker.control("set_user_limits", user, #"{"max-channels": 2}"#)
            try await scene.closeConnections()
            // Publishes may succeed over connections that are closed at their next channel.
            // Which channels are refused depends on the order in which the connections open them.
            try await scene.notices("a refused channel") {
                scene.bus.health().components.contains { $0.reason?.contains("limit") == true }
            }
        case .queuesLimited:
            try await broker.control("set_vhost_limits", "-p", host, #"{"max-queues": 0}"#)
            scene.subscribeLate()
            try await scene.notices("a refused queue") { scene.reason(of: "group.late")?.contains("limit") == true }
            // A broadcast needs a new queue for each connection.
            try await scene.closeConnections()
            try await scene.notices("a refused queue") { scene.reason(of: "group.all")?.contains("limit") == true }
        case .connectionsClosed:
            try await scene.closeConnections()
        case .memoryAlarm:
            try await broker.control("set_vm_memory_high_watermark", "0.000001")
            try await scene.notices("blocked publishes") { scene.load.errors["blocked"] != nil }
        case .maintenance:
            try await broker.control("eval", "rabbit_maintenance:drain().")
            try await scene.notices("no connection") { scene.isDown && !scene.load.errors.isEmpty }
        }
        return []
    }

    /// Restores everything.
    func end(_ scene: OperatorScene) async throws {
        let (broker, user, host) = (scene.broker, scene.user, scene.host)
        switch self {
        case .permissionsCleared, .permissionsClearedAndConnectionsClosed, .configuringForbidden, .writingForbidden,
            .readingForbidden:
            try await broker.control("set_permissions", "-p", host, user, ".*", ".*", ".*")
        case .passwordChanged: try await broker.control("change_password", user, "secret")
        case .connectionsLimited, .queuesLimited: try await broker.control("clear_vhost_limits", "-p", host)
        case .channelsLimited: try await broker.control("clear_user_limits", user, "all")
        case .memoryAlarm: try await broker.control("set_vm_memory_high_watermark", "0.4")
        case .maintenance: try await broker.control("eval", "rabbit_maintenance:revive().")
        case .queuePurged, .exchangeDeleted, .bindingDeleted, .connectionsClosed: break
        }
    }
}

/// A bus with its own user and virtual host, whose subscription retries some events and dead-letters others.
final class OperatorScene: Sendable {
    let broker: TestBroker
    let host = freshName("host")
    let user = freshName("user")
    let bus: EventBus
    let load = Load()
    let handled = SeenNumbers()
    /// The events that the subscription by key has handled, which never fails.
    let keyed = SeenNumbers()
    /// The events that the broadcast has received.
    let broadcast = SeenNumbers()
    let topic: Topic = "op.probe"
    private let lateTopic: Topic = "op.late"
    private let late = SeenNumbers()
    private let isLate = Switch(false)
    private let markers = Locked(10_000_000)
    /// The configuration of the user who may always do everything.
    let owner: RabbitConfiguration

    init(_ broker: TestBroker, _ type: RabbitConfiguration.QueueType) async throws {
        self.broker = broker
        try await broker.addVirtualHost(host)
        try await broker.control("add_user", user, "secret")
        try await broker.control("set_permissions", "-p", host, user, ".*", ".*", ".*")
        let host = host
        owner = try broker.configuration {
            $0.virtualHost = host
            $0.queueType = type
            $0.consumerCheckInterval = .milliseconds(200)
        }
        var configuration = owner
        configuration.credentials = .init(user: user, password: "secret")
        bus = try EventBus(transport: .rabbit(configuration))
        bus.subscribe(
            to: TopicPattern(topic),
            group: "group",
            name: "probe",
            options: .init(concurrency: 16, retry: .fixed(.milliseconds(100), maximumAttempts: 3))
        ) { [handled] event, context in
            switch (Int(String(decoding: event.envelope.payload, as: UTF8.self)) ?? 0) % 10 {
            case 0 where context.attempt == 1: throw HandlerFailed()
            case 1: throw Useless()
            default: handled.note(event.envelope)
            }
        }
        bus.subscribe(
            to: TopicPattern(topic),
            group: "group",
            name: "keyed",
            options: .init(concurrency: 4, ordering: .byPartitionKey)
        ) { [keyed] event, _ in keyed.note(event.envelope) }
        bus.subscribe(to: TopicPattern(topic), group: "group", name: "all", options: .init(broadcast: true)) {
            [broadcast] event, _ in broadcast.note(event.envelope)
        }
    }

    /// Adds a subscription, whose queue does not exist.
    func subscribeLate() {
        isLate.set(true)
        bus.subscribe(to: TopicPattern(lateTopic), group: "group", name: "late") { [late] event, _ in
            late.note(event.envelope)
        }
    }

    func closeConnections() async throws {
        try await broker.control("close_all_user_connections", user, "bye")
    }

    /// A Boolean value indicating whether there is no connection.
    var isDown: Bool {
        bus.health().components.filter { $0.details["connections"] != nil }.allSatisfy { $0.status != .ready }
    }

    /// The reason why a queue has no consumer, if there is one.
    func reason(of queue: String) -> String? {
        bus.health().components.first { $0.name.hasSuffix("consumer.\(queue)") && $0.status != .ready }?.reason
    }

    /// Returns the error code of publishing an event with a delay, or `nil` if it is accepted.
    func code(ofPublishingAfter delay: Duration) async -> EventBusError.Code? {
        do {
            let event = Envelope(topic: topic, payload: Array("0".utf8))
            try await bus.publish(event, options: .init(deadline: .seconds(2), delay: delay))
            return nil
        } catch {
            return (error as? EventBusError)?.code
        }
    }

    func notices(
        _ what: String,
        within limit: Duration = .seconds(20),
        _ condition: () async throws -> Bool
    ) async throws {
        try await eventually(
            "\(what); health \(bus.health().components.compactMap(\.reason))",
            within: limit,
            condition
        )
    }

    /// Waits until events that are published from now on are handled, retried, dead-lettered and delayed.
    func flows(after start: ContinuousClock.Instant, within limit: Duration) async throws {
        let first = markers.withLock { next in
            defer { next += 10 }
            return next
        }
        let (retried, dead, plain, delayed) = (first, first + 1, first + 2, first + 3)
        let deadline = start.advanced(by: limit)
        func left() -> Duration { ContinuousClock.now.duration(to: deadline) }
        for (number, topic) in [(retried, topic), (dead, topic), (plain, topic), (delayed, topic), (plain, lateTopic)] {
            if topic == lateTopic, !isLate.isOn { continue }
            let delay = number == delayed ? Duration.milliseconds(300) : .zero
            try await notices("\(number) is published", within: left()) {
                let event = Envelope(topic: topic, payload: Array("\(number)".utf8))
                let options = PublishOptions(deadline: .seconds(2), delay: delay)
                let receipt = try? await bus.publish(event, options: options)
                return receipt?.outcome == (delay == .zero ? .routed : .scheduled)
            }
        }
        try await notices("everything is handled", within: left()) {
            handled.all.isSuperset(of: [retried, plain, delayed])
                && keyed.all.isSuperset(of: [retried, dead, plain, delayed])
                && (!isLate.isOn || late.all.contains(plain))
        }
        // A broadcast misses what is published before it is attached again.
        try await notices("all consumers are attached", within: left()) { bus.health().isReady }
        let before = broadcast.count
        try await notices("a broadcast is received", within: left()) { broadcast.count > before }
        try await notices("a dead letter is kept", within: left()) { try await letters().contains(dead) }
        try await notices("ready", within: left()) { bus.health().isReady }
    }

    /// Returns the numbers of the dead letters of a subscription.
    private func letters(of subscription: String = "probe") async throws -> Set<Int> {
        guard let entries = try? await bus.deadLetters(of: "group").entries(limit: 10_000) else { return [] }
        let own = entries.filter { $0.queue == "group.\(subscription)" }
        return Set(own.compactMap { Int(String(decoding: $0.envelope.payload, as: UTF8.self)) })
    }

    /// Returns the confirmed numbers that were neither handled nor dead-lettered nor removed by the operator.
    func missing(except removed: Set<Int>) async throws -> Set<Int> {
        var missing: Set<Int> = []
        _ = try? await eventually("all", within: .seconds(30)) {
            let confirmed = load.confirmed.subtracting(removed)
            missing = confirmed.subtracting(handled.all).subtracting(try await letters())
            missing.formUnion(confirmed.subtracting(keyed.all).subtracting(try await letters(of: "keyed")))
            return missing.isEmpty
        }
        return missing
    }
}

/// The error of a handler that will never succeed.
private struct Useless: NonRetryable {}

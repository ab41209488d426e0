import EventBus
import EventBusRabbit
import EventBusTesting
import Testing

/// An operator deletes what the queue of a subscription needs while the subscription does not consume it.
@Suite(.timeLimit(.minutes(3)))
struct PausedSubscriptionTests {
    enum Loss: String, CaseIterable, Sendable {
        case exchange = "exchange events"
        case queue = "queue idle.probe"
        case binding = "binding idle.probe"
        case exit = "exchange eventbus.delay.v1.exit"
        case dueQueue = "queue eventbus.delay.v1.due.idle.probe"
        case letters = "queue idle.dead"
        case letterBinding = "binding idle.dead"
        case letterExchange = "exchange eventbus.dead.v1"

        var isOfDelays: Bool { self == .exit || self == .dueQueue }
        var isOfLetters: Bool { [.letters, .letterBinding, .letterExchange].contains(self) }
    }

    @Test(arguments: Loss.allCases)
    func `the queue of a paused subscription collects events again after something was deleted`(loss: Loss) async throws
    {
        let scene = try await Scene()
        guard try await scene.isPossible(loss) else { return }
        try await scene.bus.withRunning {
            await scene.idle.pause()
            try await scene.delete(loss)
            let first = try await scene.publishUntilCollected(after: loss)
            try await scene.publish(5)
            scene.idle.resume()
            if loss.isOfLetters { return }
            let last = scene.published
            try await eventually("\(loss): handled") { scene.handled.all.isSuperset(of: first..<last) }
        }
    }

    @Test(arguments: [Loss.exchange, .queue, .binding])
    func `the queue collects events again while the subscription waits for a handler before its next session`(
        loss: Loss
    ) async throws {
        let scene = try await Scene()
        guard try await scene.isPossible(loss) else { return }
        try await scene.bus.withRunning {
            scene.mayEnd.set(false)
            try await scene.publish(1)
            try await eventually("handling") { scene.begun.count == 1 }
            let changing = Task { try await scene.idle.changeConcurrency(to: 7) }
            try await eventually("waits") {
                scene.bus.health().components.contains { $0.reason?.contains("waits for its running handlers") == true }
            }
            try await scene.delete(loss)
            let first = try await scene.publishUntilCollected(after: loss)
            try await scene.publish(5)
            scene.mayEnd.set(true)
            try await changing.value
            let last = scene.published
            try await eventually("\(loss): handled") { scene.handled.all.isSuperset(of: first..<last) }
        }
    }

    @Test func `a missing queue of a paused subscription is named in health if the service may not declare it`()
        async throws
    {
        let scene = try await Scene(declaration: .passive)
        @Sendable func names(_ queue: String) -> Bool {
            scene.bus.health().components.contains { $0.reason?.contains("no queue '\(queue)'") == true }
        }
        try await scene.bus.withRunning {
            await scene.idle.pause()
            try await scene.delete(.queue)
            try await eventually("named") { names("idle.probe") }
            try await RabbitTransport.declareTopology(for: scene.specifications, on: scene.owner)
            try await eventually("ready") { scene.bus.health().isReady }
            try await scene.delete(.queue)
            try await eventually("named again") { names("idle.probe") }
            await scene.idle.cancel()
            try await eventually("it is needed no more") { !names("idle.probe") }
        }
    }

    @Test func `a queue that is deleted after its paused subscription was cancelled stays deleted`() async throws {
        let scene = try await Scene()
        try await scene.bus.withRunning {
            await scene.idle.pause()
            await scene.idle.cancel()
            try await scene.delete(.queue)
            // Declares everything that the service needs.
            try await scene.delete(.exchange)
            try await eventually("declared again") {
                try await scene.publish(1)
                return scene.busy.all.contains(scene.published - 1)
            }
            #expect(try await RawClient.count(queue: "idle.probe", scene.owner) == nil)
        }
    }
}

/// A service with two subscriptions to one topic, of which one does not consume its queue.
private final class Scene: Sendable {
    let owner: RabbitConfiguration
    let bus: EventBus
    let idle: Subscription
    let specifications: [QueueSpecification]
    /// The events that the idle subscription has begun to handle.
    let begun = SeenNumbers()
    /// The events that the idle subscription has handled.
    let handled = SeenNumbers()
    /// The events that the other subscription has handled.
    let busy = SeenNumbers()
    let mayEnd = Switch(true)
    private let broker: TestBroker
    private let topic = Topic("order.created")
    private let next = Locked(0)

    /// The number of events that were published.
    var published: Int { next.withLock { $0 } }

    init(declaration: RabbitConfiguration.Declaration = .active) async throws {
        broker = try await TestBroker.shared()
        try #require(broker.directory != nil, "needs a broker of our own")
        let name = freshName()
        try await broker.addVirtualHost(name)
        owner = try broker.configuration {
            $0.virtualHost = name
            $0.consumerCheckInterval = .milliseconds(100)
        }
        let pattern = TopicPattern(topic)
        specifications = ["busy", "idle"].map {
            QueueSpecification(group: $0, name: "probe", patterns: [pattern], prefetch: 1)
        }
        var configuration = owner
        configuration.declaration = declaration
        if declaration == .passive { try await RabbitTransport.declareTopology(for: specifications, on: owner) }
        bus = try EventBus(transport: .rabbit(configuration))
        bus.subscribe(to: pattern, group: "busy", name: "probe") { [busy] event, _ in busy.note(event.envelope) }
        idle = bus.subscribe(to: pattern, group: "idle", name: "probe") { [begun, handled, mayEnd] event, _ in
            begun.note(event.envelope)
            try await eventually("may end", within: .seconds(60)) { mayEnd.isOn }
            handled.note(event.envelope)
        }
    }

    /// Returns a Boolean value indicating whether a loss is noticed soon. Newer brokers are asked for bindings rarely.
    func isPossible(_ loss: PausedSubscriptionTests.Loss) async throws -> Bool {
        if loss != .binding && loss != .letterBinding { return true }
        return try await broker.majorVersion() < 4
    }

    func delete(_ loss: PausedSubscriptionTests.Loss) async throws {
        let name = String(loss.rawValue.split(separator: " ")[1])
        switch loss {
        case .exchange, .exit, .letterExchange: try await RawClient.delete(exchange: name, owner)
        case .queue, .dueQueue, .letters: try await RawClient.delete(queue: name, owner)
        case .binding: try await RawClient.unbind(queue: name, from: owner.exchange, key: topic.rawValue, owner)
        case .letterBinding: try await RawClient.unbind(queue: name, from: "eventbus.dead.v1", key: "idle", owner)
        }
    }

    func publish(_ count: Int, _ options: PublishOptions = .init()) async throws {
        for _ in 0..<count {
            let number = next.withLock { next in
                defer { next += 1 }
                return next
            }
            try await bus.publish(Envelope(topic: topic, payload: Array("\(number)".utf8)), options: options)
        }
    }

    /// Publishes until the idle queue has an event, or its dead letters have one that expired there. Returns the number of
    /// the first event that cannot have been lost.
    func publishUntilCollected(after loss: PausedSubscriptionTests.Loss) async throws -> Int {
        var options = PublishOptions()
        if loss.isOfDelays { options.delay = .milliseconds(100) }
        if loss.isOfLetters { options.expiration = .milliseconds(50) }
        let queue = loss.isOfLetters ? "idle.dead" : "idle.probe"
        try await eventually("\(loss): collected in \(queue)", within: .seconds(20)) {
            try await publish(1, options)
            return try await RawClient.count(queue: queue, owner) ?? 0 > 0
        }
        return published
    }
}

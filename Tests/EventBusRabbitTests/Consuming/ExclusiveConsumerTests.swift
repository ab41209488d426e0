import EventBus
import EventBusRabbit
import EventBusTesting
import Testing

/// Refusals that end when another client or an operator has finished.
@Suite(.timeLimit(.minutes(3)))
struct ExclusiveConsumerTests {
    private struct Scene {
        let configuration: RabbitConfiguration
        let topic: Topic
        let group: String
        let received = Received()
        let bus: EventBus

        /// Declares the classic queue of a subscription that is not attached.
        init(_ configure: (inout RabbitConfiguration) -> Void = { _ in }) async throws {
            let name = freshName()
            let broker = try await TestBroker.shared()
            configuration = try broker.configuration {
                $0.exchange = "events-\(name)"
                $0.queueType = .classic
                configure(&$0)
            }
            topic = try Topic(validating: "\(name).probe")
            group = "group-\(name)"
            let queue = QueueSpecification(group: group, name: "probe", patterns: [TopicPattern(topic)], prefetch: 1)
            var owner = configuration
            owner.credentials = try RabbitConfiguration(uri: broker.url).credentials
            try await RabbitTransport.declareTopology(for: [queue], on: owner)
            bus = try EventBus(transport: .rabbit(configuration))
        }

        var queue: String { "\(group).probe" }

        func subscribe() -> Subscription {
            bus.subscribe(to: TopicPattern(topic), group: group, name: "probe") { [received] event, _ in
                received.add(event.envelope)
            }
        }

        /// The reason why the subscription is not attached, if there is one.
        var reason: String? {
            bus.health().components.first { $0.name.contains("consumer.\(queue)") && $0.status != .ready }?.reason
        }

        /// Starts the bus, waits until the subscription is refused for a reason, and checks that it is attached after
        /// `remedy`.
        func attaches(afterRefusal reason: String, remedy: @escaping @Sendable () -> Void) async throws {
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { try await bus.run() }
                group.addTask {
                    defer { bus.shutdown() }
                    try await eventually("health names the cause", within: .seconds(20)) {
                        self.reason?.contains(reason) == true
                    }
                    remedy()
                    try await eventually("attached", within: .seconds(20)) { bus.health().isReady }
                    try await deliver()
                }
                try await group.waitForAll()
            }
        }

        /// Publishes an event and waits until it is handled.
        func deliver() async throws {
            let event = Envelope(topic: topic, payload: [1])
            try await bus.publish(event)
            try await eventually("handled", within: .seconds(20)) { received.all.contains { $0.id == event.id } }
        }
    }

    @Test func `a queue that another client consumes exclusively is consumed once that one has left`() async throws {
        let scene = try await Scene()
        _ = scene.subscribe()
        let other = try await RawClient.connect(scene.configuration)
        let isExclusive = try await onThread { try other.consumeExclusively(scene.queue) == .accepted }
        try #require(isExclusive)
        try await scene.attaches(afterRefusal: "another client consumes the queue exclusively") { other.disconnect() }
    }

    @Test func `a subscription that is resumed while another client consumes exclusively waits for it`() async throws {
        let scene = try await Scene()
        let subscription = scene.subscribe()
        try await scene.bus.withRunning {
            try await scene.deliver()
            await subscription.pause()
            let other = try await RawClient.connect(scene.configuration)
            try await eventually("the other client is alone", within: .seconds(10)) {
                try await onThread { try other.consumeExclusively(scene.queue) == .accepted }
            }
            subscription.resume()
            try await eventually("health names the cause", within: .seconds(20)) {
                scene.reason?.contains("another client consumes the queue exclusively") == true
            }
            other.disconnect()
            try await subscription.attached()
            try await scene.deliver()
        }
    }

    @Test(.enabled(if: TestBroker.sharedIsOurs))
    func `a subscription that is resumed without permission is attached once it has the permission`() async throws {
        let broker = try await TestBroker.shared()
        let user = freshName("user")
        try await broker.control("add_user", user, "secret")
        try await broker.control("set_permissions", user, ".*", ".*", ".*")
        let scene = try await Scene { $0.credentials = .init(user: user, password: "secret") }
        let subscription = scene.subscribe()
        try await scene.bus.withRunning {
            try await scene.deliver()
            await subscription.pause()
            try await broker.control("clear_permissions", user)
            subscription.resume()
            try await eventually("health names the cause", within: .seconds(20)) {
                scene.reason?.contains("ACCESS_REFUSED") == true
            }
            try await broker.control("set_permissions", user, ".*", ".*", ".*")
            try await subscription.attached()
            try await scene.deliver()
        }
        try await broker.control("delete_user", user)
    }

    @Test func `a queue that belongs to another connection is consumed once that one has left`() async throws {
        let scene = try await Scene()
        _ = scene.subscribe()
        try await RawClient.delete(queue: scene.queue, scene.configuration)
        let other = try await RawClient.connect(scene.configuration)
        let isExclusive = try await onThread { try other.declareExclusively(scene.queue) == .accepted }
        try #require(isExclusive)
        try await scene.attaches(afterRefusal: "RESOURCE_LOCKED") { other.disconnect() }
    }
}

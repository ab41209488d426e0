import EventBus
import EventBusRabbit
import EventBusTesting
import Testing

/// Streams, which another system declared and a subscription is configured to consume.
@Suite(.timeLimit(.minutes(2)))
struct StreamTests {
    @Test func `a configuration that asks for a stream is refused`() throws {
        var configuration = try RabbitConfiguration(uri: "amqp://localhost")
        configuration.queues["a.b"] = .init(arguments: ["x-queue-type": "stream"])
        #expect(throws: EventBusError.self) { try configuration.validate() }
        configuration.queues["a.b"] = .init(consumerArguments: ["x-stream-offset": "first"])
        #expect(throws: EventBusError.self) { try configuration.validate() }
        configuration.queues["a.b"] = .init(consumerArguments: ["x-priority": 5])
        try configuration.validate()
    }

    @Test func `a stream with events is refused when a subscription attaches`() async throws {
        let scene = try await Scene(type: "stream")
        try await scene.publish()
        // The broker counts the events of a stream at intervals.
        try await eventually("the event is counted") { try await scene.count() == 1 }
        let subscription = scene.subscription
        let running = Task { try? await scene.bus.run() }
        let error = await #expect(throws: EventBusError.self) { try await subscription.attached() }
        #expect(error?.code == .unsupported)
        #expect(error?.message.contains("\(scene.queue) is a stream") == true)
        running.cancel()
        await running.value
        #expect(scene.handled.all.isEmpty)
        try await scene.end()
    }

    @Test func `a stream that was empty is named in health from its first event on, which no handler receives`()
        async throws
    {
        let scene = try await Scene(type: "stream")
        try await scene.bus.withRunning {
            try await scene.subscription.attached()
            try await scene.publish()
            try await eventually("named in health") {
                scene.bus.health().components.contains { $0.reason?.contains("\(scene.queue) is a stream") == true }
            }
            #expect(!scene.bus.health().isReady)
        }
        #expect(scene.handled.all.isEmpty)
        try await scene.end()
    }

    @Test func `a publisher cannot make a queue look like a stream`() async throws {
        let scene = try await Scene(type: "classic")
        try await scene.bus.withRunning {
            try await scene.subscription.attached()
            try await scene.publish(isForged: true)
            try await scene.publish()
            try await eventually("both are handled") { scene.handled.all.count == 2 }
            #expect(scene.bus.health().isReady)
        }
        try await scene.end()
    }
}

/// A subscription to the queue of another system.
private struct Scene {
    let queue: String
    let bus: EventBus
    let subscription: Subscription
    let handled = Received()
    private let configuration: RabbitConfiguration

    init(type: String) async throws {
        let name = freshName()
        let queue = "legacy-\(name)"
        self.queue = queue
        configuration = try await TestBroker.shared().configuration {
            $0.exchange = "events-\(name)"
            $0.queues["group-\(name).orders"] = .init(name: queue, isDeclared: false)
            $0.consumerCheckInterval = .milliseconds(100)
        }
        try await RawClient.declare(queue: queue, type: type, configuration)
        bus = try EventBus(transport: .rabbit(configuration))
        subscription = bus.subscribe(
            to: TopicPattern(try Topic(validating: "\(name).created")),
            group: "group-\(name)",
            name: "orders"
        ) { [handled] event, _ in handled.add(event.envelope) }
    }

    /// Publishes an event to the queue.
    ///
    /// - Parameter isForged: `true` to set the header that the broker sets on events of a stream.
    func publish(isForged: Bool = false) async throws {
        var table = AMQPBytes()
        if isForged {
            table.shortString("x-stream-offset")
            table.octet(UInt8(ascii: "l"))
            table.longlong(7)
        }
        var properties = AMQPBytes()
        properties.longString(table.bytes)
        let bytes = properties.bytes
        try await RawClient.run(configuration) { [queue] client in
            try client.publish(exchange: "", routingKey: queue, flags: 1 << 13, properties: bytes, body: [1])
        }
    }

    func count() async throws -> Int? {
        try await RawClient.count(queue: queue, configuration)
    }

    func end() async throws {
        try await RawClient.delete(queue: queue, configuration)
    }
}

import EventBus
import EventBusRabbit
import EventBusTesting
import Testing

/// Queues that are created, changed and deleted.
@Suite(.timeLimit(.minutes(2)))
struct TopologyTests {
    private struct Scene {
        var name: String
        var configuration: RabbitConfiguration
        var group: String { "group-\(name)" }
        func pattern(_ end: String) throws -> TopicPattern { try TopicPattern(validating: "\(name).\(end)") }
        func topic(_ end: String) throws -> Topic { try Topic(validating: "\(name).\(end)") }
    }

    private func scene(_ configure: (inout RabbitConfiguration) -> Void = { _ in }) async throws -> Scene {
        let name = freshName()
        let configuration = try await TestBroker.shared().configuration {
            $0.exchange = "events-\(name)"
            configure(&$0)
        }
        return Scene(name: name, configuration: configuration)
    }

    @Test func `a new quorum queue counts as attached once it has settled, and one that was there at once`()
        async throws
    {
        let settling = Duration.seconds(1)
        let scene = try await scene { $0.newQueueGracePeriod = settling }
        var old = scene.configuration
        // An existing queue never waits that long.
        old.newQueueGracePeriod = .seconds(3600)
        var times: [Duration] = []
        for configuration in [scene.configuration, old] {
            let bus = try EventBus(transport: .rabbit(configuration))
            try await bus.withRunning {
                // The connection exists already, so that only the queue is measured.
                _ = try await bus.publish(Envelope(topic: scene.topic("x"), payload: []))
            }
            let second = try EventBus(transport: .rabbit(configuration))
            let subscription = second.subscribe(to: try scene.pattern("x"), group: scene.group, name: "probe") { _, _ in
            }
            let start = ContinuousClock.now
            let instance = Instance(second)
            try await subscription.attached()
            times.append(start.duration(to: .now))
            try await instance.end()
        }
        print("new queue: attached after \(times[0]), settling for \(settling); the same queue again: \(times[1])")
        #expect(times[0] >= settling)
    }

    /// The broker refuses to read single events of a queue with a single active consumer.
    @Test(arguments: [SubscriptionOptions.Ordering.none, .byPartitionKey])
    func `a queue is retired once it is empty and nobody consumes it`(
        ordering: SubscriptionOptions.Ordering
    ) async throws {
        let scene = try await scene()
        let queue = QueueSpecification(
            group: scene.group,
            name: "probe",
            patterns: [try scene.pattern("x")],
            prefetch: 1,
            singleActiveConsumer: ordering == .byPartitionKey
        )
        @Sendable func retire() async throws -> Bool {
            try await RabbitTransport.retireQueue(
                group: scene.group,
                name: "probe",
                patterns: [try scene.pattern("x")],
                on: scene.configuration
            )
        }
        #expect(try await retire() == false)
        try await RabbitTransport.declareTopology(for: [queue], on: scene.configuration)
        let publisher = try EventBus(transport: .rabbit(scene.configuration))
        try await publisher.withRunning {
            _ = try await publisher.publish(Envelope(topic: scene.topic("x"), payload: [1]))
            let full = await #expect(throws: EventBusError.self) { try await retire() }
            #expect(full?.code == .rejected)
            #expect(full?.message.contains("1 events") ?? false)
            // It is unbound already, so nothing can arrive between the check and the deletion.
            let receipt = try await publisher.publish(Envelope(topic: scene.topic("x"), payload: [2]))
            #expect(receipt.outcome == .unroutable)
        }

        let bus = try EventBus(transport: .rabbit(scene.configuration))
        let received = Received()
        bus.subscribe(
            to: try scene.pattern("x"),
            group: scene.group,
            name: "probe",
            options: .init(ordering: ordering)
        ) { event, _ in received.add(event.envelope) }
        try await bus.withRunning {
            try await eventually("handled") { received.all.count == 1 }
            let used = await #expect(throws: EventBusError.self) { try await retire() }
            #expect(used?.code == .rejected)
            #expect(used?.message.contains("1 consumers") ?? false)
        }
        #expect(try await retire() == true)
        #expect(try await retire() == false)
    }

    @Test(arguments: [false, true])
    func `the events that wait in a queue are counted, read and moved, and so are none`(
        singleActiveConsumer: Bool
    ) async throws {
        let scene = try await scene()
        let queues = try [("old", "x"), ("new", "y")].map { name, end in
            QueueSpecification(
                group: scene.group,
                name: name,
                patterns: [try scene.pattern(end)],
                prefetch: 1,
                singleActiveConsumer: singleActiveConsumer
            )
        }
        try await RabbitTransport.declareTopology(for: queues, on: scene.configuration)
        let transport = try RabbitTransport(scene.configuration)
        let bus = EventBus(transport: transport)
        try await bus.withRunning {
            let waiting = transport.waitingEvents(in: queues[0].queueName)
            #expect(try await waiting.count() == 0)
            #expect(try await waiting.entries().isEmpty)
            for number in 0..<3 {
                _ = try await bus.publish(Envelope(topic: scene.topic("x"), payload: [UInt8(number)]))
            }
            #expect(try await waiting.count() == 3)
            #expect(try await waiting.entries().map(\.envelope.payload) == [[0], [1], [2]])
            #expect(try await waiting.replayAll(options: ReplayOptions(queue: queues[1].queueName)) == 3)
            #expect(try await waiting.replayAll(options: ReplayOptions(queue: queues[1].queueName)) == 0)
            #expect(try await transport.waitingEvents(in: queues[1].queueName).count() == 3)
        }
    }

    @Test func `a former pattern is unbound, for events at once and for scheduled ones`() async throws {
        let scene = try await scene()
        let first = try EventBus(transport: .rabbit(scene.configuration))
        first.subscribe(to: try scene.pattern("old"), group: scene.group, name: "probe") { _, _ in }
        try await first.withRunning {
            let receipt = try await first.publish(Envelope(topic: scene.topic("old"), payload: []))
            #expect(receipt.outcome == .routed)
        }
        let bus = try EventBus(transport: .rabbit(scene.configuration))
        let received = Received()
        bus.subscribe(
            to: try scene.pattern("new"),
            group: scene.group,
            name: "probe",
            options: .init(formerPatterns: [try scene.pattern("old")])
        ) { event, _ in received.add(event.envelope) }
        let transport = try RabbitTransport(scene.configuration)
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await transport.run() }
            try await bus.withRunning {
                let receipt = try await bus.publish(Envelope(topic: scene.topic("old"), payload: []))
                #expect(receipt.outcome == .unroutable)
                let old = Envelope(topic: try scene.topic("old"), payload: [])
                try await bus.publish(old, options: .init(delay: .milliseconds(100)))
                try await bus.publish(
                    Envelope(topic: scene.topic("new"), payload: []),
                    options: .init(delay: .seconds(1))
                )
                try await bus.publish(Envelope(topic: scene.topic("new"), payload: []))
                try await eventually("both of the new topic") { received.all.count == 2 }
                #expect(received.all.allSatisfy { $0.topic.rawValue.hasSuffix(".new") })
                // The scheduled event of the old topic found no queue, and is kept.
                try await eventually("the one that nobody wants is kept") {
                    try await transport.unroutableDelays.entries(limit: 1000).contains { $0.envelope.id == old.id }
                }
            }
            group.cancelAll()
        }
    }

    @Test(
        arguments: [
            (SubscriptionOptions.Ordering.none, true), (.byPartitionKey, true), (.byPartitionKey, false),
        ]
    )
    func `an event that takes its consumer along 21 times lies in the dead letters, the innocent do not`(
        ordering: SubscriptionOptions.Ordering,
        hasCrashRecord: Bool
    ) async throws {
        var scene = try await scene { $0.reconnect = .init(initial: .zero, maximum: .zero) }
        if !hasCrashRecord {
            // An instance that may not declare objects, and a topology of an earlier release.
            let queue = QueueSpecification(
                group: scene.group,
                name: "probe",
                patterns: [try scene.pattern("x")],
                prefetch: 256,
                singleActiveConsumer: true
            )
            try await RabbitTransport.declareTopology(for: [queue], on: scene.configuration)
            try await TestBroker.shared().control("delete_queue", "eventbus.crashes.v1.\(scene.group).probe")
            scene.configuration.declaration = .passive
        }
        let proxy = try TestProxy(to: scene.configuration.hosts[0].port)
        let direct = scene.configuration
        scene.configuration.hosts[0].port = proxy.port
        let bus = try EventBus(transport: .rabbit(scene.configuration))
        let (poisoned, innocent) = (SeenNumbers(), SeenNumbers())
        @Sendable func connections() -> Int {
            bus.health().components.first { $0.name.hasSuffix(".consume") }?.details["connections"] ?? 0
        }
        let start = ContinuousClock.now
        bus.subscribe(
            to: try scene.pattern("x"),
            group: scene.group,
            name: "probe",
            options: .init(concurrency: 16, retry: .never, ordering: ordering)
        ) { event, _ in
            guard event.envelope.payload == [UInt8(ascii: "0")] else { return innocent.note(event.envelope) }
            poisoned.note(event.envelope)
            let before = connections()
            proxy.cutAll()
            // Its later actions have no effect.
            try await eventually("the connection is another") { connections() > before }
            throw CancellationError()
        }
        let publisher = try EventBus(transport: .rabbit(direct))
        let group = scene.group
        let topic = try scene.topic("x")
        try await bus.withRunning {
            try await publisher.withRunning {
                for number in 0..<10 {
                    let envelope = Envelope(
                        topic: topic,
                        payload: Array("\(number)".utf8),
                        partitionKey: "k\(number)"
                    )
                    try await publisher.publish(envelope)
                }
                let letters = publisher.deadLetters(of: group)
                var dead = 0
                try await eventually(
                    "one dead letter, not \(dead); begun \(poisoned.count) times",
                    within: .seconds(60)
                ) {
                    dead = try await letters.count()
                    return dead == 1
                }
                try await eventually("nine handled") { innocent.all == Set(1..<10) }
                let letter = try await letters.entries(limit: 10)[0]
                print(
                    "delivery limit, \(ordering): begun \(poisoned.count) times in \(start.duration(to: .now)), then "
                        + "\(letter.failure.reason); innocent events handled \(innocent.all.count) of 9"
                )
                #expect(letter.failure.reason == .deliveryLimit)
                #expect(letter.envelope.payload == [UInt8(ascii: "0")])
                #expect(letter.queue == "\(group).probe")
                // By key, the first consumer that sees a redelivery only creates the crash record.
                #expect(poisoned.count <= (ordering == .none ? 21 : 22))
            }
        }
    }
}

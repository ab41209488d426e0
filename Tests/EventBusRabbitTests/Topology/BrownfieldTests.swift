import EventBus
import EventBusRabbit
import EventBusTesting
import FoundationEssentials
import Glibc
import Testing

/// Queues and exchanges that another system declared.
@Suite(.timeLimit(.minutes(2)))
struct BrownfieldTests {
    @Test func `an existing queue is consumed, and an existing exchange published to, as they are`() async throws {
        let broker = try await TestBroker.shared()
        let name = freshName()
        let topic = try Topic(validating: "\(name).created")
        let queue = "legacy-\(name)"
        // The broker's own topic exchange represents that of another system.
        let configuration = try broker.configuration {
            $0.exchange = "events-\(name)"
            $0.queues["group-\(name).orders"] = .init(
                name: queue,
                isDeclared: false,
                consumerArguments: ["x-priority": 5]
            )
            $0.route = { event in
                guard event.topic == topic else { return nil }
                return .init(exchange: "amq.topic", routingKey: "\(name).orders.new", priority: 3)
            }
        }
        try await RawClient.declare(queue: queue, configuration)
        try await RawClient.bind(queue: queue, to: "amq.topic", key: "\(name).orders.#", configuration)
        let bus = try EventBus(transport: .rabbit(configuration))
        let (handled, isBroken) = (Received(), Switch(true))
        bus.subscribe(
            to: TopicPattern(topic),
            group: "group-\(name)",
            name: "orders",
            options: .init(retry: .fixed(.milliseconds(100), maximumAttempts: 2))
        ) { event, context in
            if context.attempt == 1 || (event.envelope.payload == [2] && isBroken.isOn) { throw HandlerFailed() }
            handled.add(event.envelope)
        }
        try await bus.withRunning {
            for payload in [[1], [2]] as [[UInt8]] {
                let receipt = try await bus.publish(Envelope(topic: topic, payload: payload))
                #expect(receipt.outcome == .routed)
            }
            try await eventually("handled at the second attempt") { handled.all.map(\.payload) == [[1]] }
            #expect(handled.all.map(\.topic) == [topic])
            let letters = bus.deadLetters(of: "group-\(name)")
            try await eventually("a dead letter") { try await letters.count() == 1 }
            #expect(try await letters.entries(limit: 1).map(\.queue) == [queue])
            isBroken.set(false)
            #expect(try await letters.replayAll() == 1)
            try await eventually("handled after the replay") { handled.all.map(\.payload) == [[1], [2]] }
            // A scheduled event reaches the subscriptions of the events exchange, and cannot have a route.
            let error = await #expect(throws: EventBusError.self) {
                try await bus.publish(Envelope(topic: topic, payload: []), options: .init(delay: .seconds(1)))
            }
            #expect(error?.code == .unsupported)
        }
        try await RawClient.delete(queue: queue, configuration)
    }

    @Test func `a queue has further arguments, and an event its own time to live`() async throws {
        let broker = try await TestBroker.shared()
        let name = freshName()
        let topic = try Topic(validating: "\(name).created")
        let (queue, silent) = ("own-\(name)", "silent-\(name)")
        let configuration = try broker.configuration {
            $0.exchange = "events-\(name)"
            $0.queueType = .classic
            $0.queues["group-\(name).orders"] = .init(name: queue, arguments: ["x-max-priority": 5])
            $0.route = { event in
                guard event.payload == [0] else { return nil }
                return .init(exchange: "", routingKey: silent, expiration: .milliseconds(100))
            }
        }
        try await RawClient.declare(queue: silent, configuration)
        let bus = try EventBus(transport: .rabbit(configuration))
        let handled = Received()
        bus.subscribe(to: TopicPattern(topic), group: "group-\(name)", name: "orders") { event, _ in
            handled.add(event.envelope)
        }
        try await bus.withRunning {
            try await bus.publish(Envelope(topic: topic, payload: [1]))
            try await eventually("handled") { handled.all.map(\.payload) == [[1]] }
            let receipt = try await bus.publish(Envelope(topic: topic, payload: [0]))
            #expect(receipt.outcome == .routed)
            try await eventually("expired") { try await RawClient.count(queue: silent, configuration) == 0 }
        }
        // A different set of arguments clashes, and the error names the argument.
        var other = configuration
        other.queues["group-\(name).orders"]?.arguments = ["x-max-priority": 6]
        let second = try EventBus(transport: .rabbit(other))
        let subscription = second.subscribe(to: TopicPattern(topic), group: "group-\(name)", name: "orders") { _, _ in }
        let running = Task { try? await second.run() }
        let error = await #expect(throws: EventBusError.self) { try await subscription.attached() }
        #expect(error?.message.contains("x-max-priority") == true)
        running.cancel()
        await running.value
        for queue in [queue, silent] { try await RawClient.delete(queue: queue, configuration) }
    }

    @Test func `a topology file keeps what is particular about a queue, and leaves that of another system alone`()
        async throws
    {
        let broker = try await TestBroker.shared()
        let name = freshName()
        let (foreign, own) = ("legacy-\(name)", "own-\(name)")
        let configuration = try broker.configuration {
            $0.exchange = "events-\(name)"
            $0.queueType = .classic
            $0.queues["group-\(name).foreign"] = .init(name: foreign, isDeclared: false)
            $0.queues["group-\(name).own"] = .init(
                name: own,
                arguments: ["x-max-priority": 5, "x-overflow": "reject-publish"]
            )
        }
        let pattern = try TopicPattern(validating: "\(name).created")
        let specifications = ["foreign", "own"].map {
            QueueSpecification(group: "group-\(name)", name: $0, patterns: [pattern], prefetch: 1)
        }
        let topology = RabbitTopology(of: specifications, with: configuration)
        let file = "/tmp/topology-\(name).json"
        try topology.write(to: file)
        defer { unlink(file) }
        let bytes = Array(try String(contentsOfFile: file, encoding: .utf8).utf8)
        let read = try JSONEventCodec().decode(RabbitTopology.self, from: bytes)
        #expect(read == topology)

        // As an operator, who has only the address of the broker and the file.
        var operating = try broker.configuration { _ in }
        try read.apply(to: &operating)
        #expect(operating.queues == configuration.queues)
        await #expect(throws: EventBusError.self, "the queue of another system is not declared") {
            try await RabbitTransport.declareTopology(for: try read.specifications, on: operating)
        }
        let missing = try await RabbitTransport.compare(read, on: operating).map(\.object)
        #expect(missing.contains(foreign))

        try await RawClient.declare(queue: foreign, configuration)
        try await RabbitTransport.declareTopology(for: try read.specifications, on: operating)
        #expect(try await RabbitTransport.compare(read, on: operating).isEmpty)
        let bus = try EventBus(transport: .rabbit(configuration))
        try await bus.withRunning {
            _ = try await bus.publish(Envelope(topic: Topic(validating: "\(name).created"), payload: [1]))
        }
        #expect(try await RawClient.count(queue: own, configuration) == 1)
        #expect(try await RawClient.count(queue: foreign, configuration) == 0, "nobody bound it")
        let error = await #expect(throws: EventBusError.self) {
            try await RabbitTransport.retireQueue(
                group: "group-\(name)",
                name: "foreign",
                patterns: [pattern],
                on: operating
            )
        }
        #expect(error?.code == .rejected)
        let full = await #expect(throws: EventBusError.self) {
            try await RabbitTransport.retireQueue(
                group: "group-\(name)",
                name: "own",
                patterns: [pattern],
                on: operating
            )
        }
        #expect(full?.message.contains("\(own) has 1 events") == true)
        try await RawClient.delete(queue: own, configuration)
        try await RawClient.delete(queue: foreign, configuration)
    }

    @Test func `the queue of a broadcast that cannot be consumed does not remain`() async throws {
        let broker = try await TestBroker.shared()
        try #require(broker.directory != nil, "needs a broker of our own")
        let name = freshName()
        let configuration = try broker.configuration {
            $0.exchange = "events-\(name)"
            // The broker refuses it, because a priority is an integer.
            $0.queues["group-\(name).everywhere"] = .init(consumerArguments: ["x-priority": "high"])
        }
        let transport = try RabbitTransport(configuration)
        let specification = QueueSpecification(
            group: "group-\(name)",
            name: "everywhere",
            patterns: [try TopicPattern(validating: "\(name).#")],
            prefetch: 1,
            broadcast: true
        )
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try? await transport.run() }
            await #expect(throws: EventBusError.self) {
                _ = try await transport.attach(specification, to: IgnoringSink())
            }
            // The connection to which it belongs is still there.
            try await eventually("no queue remains") {
                let queues = try await broker.control("list_queues", "--no-table-headers", "name")
                return !queues.contains("group-\(name).everywhere.")
            }
            group.cancelAll()
        }
    }
}

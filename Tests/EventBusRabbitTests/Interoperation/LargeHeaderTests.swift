import EventBus
import EventBusRabbit
import EventBusTesting
import Testing

/// Events whose headers fill a frame, so that what the broker or the bus adds to them does not fit.
@Suite(.timeLimit(.minutes(5)))
struct LargeHeaderTests {
    /// The size of a frame without its head and its end.
    private static let frame = 131_072 - 8

    /// Returns raw properties of `size` bytes, which consist of one header.
    private func properties(of size: Int) -> (flags: UInt16, bytes: [UInt8]) {
        var table = AMQPBytes()
        table.shortString("large")
        table.octet(UInt8(ascii: "S"))
        // The header frame begins with 14 bytes, and the table and the text each with their length.
        table.longString([UInt8](repeating: UInt8(ascii: "x"), count: size - 14 - 4 - table.bytes.count - 4))
        var bytes = AMQPBytes()
        bytes.longString(table.bytes)
        return (0x2000, bytes.bytes)
    }

    private func connections(_ bus: EventBus) -> [Int] {
        bus.health().components.compactMap { $0.details["connections"] }
    }

    @Test(arguments: RabbitConfiguration.QueueType.allCases)
    func `foreign events whose headers fill a frame are retried or given up, and end no connection`(
        type: RabbitConfiguration.QueueType
    ) async throws {
        let broker = try await TestBroker.shared()
        let name = freshName()
        let configuration = try broker.configuration {
            $0.exchange = "events-\(name)"
            $0.queueType = type
        }
        let topic = try Topic(validating: "\(name).probe")
        let bus = try EventBus(transport: .rabbit(configuration))
        let handled = SeenNumbers()
        let attempts = SeenNumbers()
        bus.subscribe(
            to: TopicPattern(topic),
            group: "group-\(name)",
            name: "probe",
            // This delay consists of six levels, each of which adds to the headers.
            options: .init(retry: .fixed(.milliseconds(6_300), maximumAttempts: 2))
        ) { event, context in
            attempts.note(event.envelope)
            if context.attempt == 1 { throw HandlerFailed() }
            handled.note(event.envelope)
        }
        let sizes = [Self.frame, Self.frame - 20] + stride(from: 100, through: 3_000, by: 100).map { Self.frame - $0 }
        try await bus.withRunning {
            let letters = bus.deadLetters(of: "group-\(name)")
            try await RawClient.run(configuration) { client in
                for (number, size) in sizes.enumerated() {
                    let (flags, bytes) = properties(of: size)
                    try client.publish(
                        exchange: "events-\(name)",
                        routingKey: "\(name).probe",
                        flags: flags,
                        properties: bytes,
                        body: Array("\(number)".utf8)
                    )
                }
            }
            let all = Set(sizes.indices)
            try await eventually("handled or given up", within: .seconds(60)) {
                let dead = try await letters.entries(limit: 100).compactMap { letter in
                    Int(String(decoding: letter.envelope.payload, as: UTF8.self))
                }
                return handled.all.union(dead) == all
            }
            print("\(type): \(handled.all.count) retried, \(all.count - handled.all.count) given up")
            #expect(!handled.all.isEmpty && handled.all != all)
            #expect(attempts.all == all)
            #expect(connections(bus) == [1, 1])
            // A connection for each redelivery would be one that ended.
            #expect(attempts.count == all.count + handled.count)
        }
    }

    @Test func `events whose headers a consumer cannot read go to the dead letters, and the others are handled`()
        async throws
    {
        // Other clients of this broker may use larger frames than this library.
        let broker = try await TestBroker.start(configuration: "frame_max = 1048576\n")
        let outcome: Result<Void, any Error>
        do {
            for type in RabbitConfiguration.QueueType.allCases { try await giveUpUnreadable(on: type, broker) }
            outcome = .success(())
        } catch {
            outcome = .failure(error)
        }
        await broker.stop()
        try outcome.get()
    }

    private func giveUpUnreadable(on type: RabbitConfiguration.QueueType, _ broker: TestBroker) async throws {
        try await broker.addVirtualHost("\(type)")
        let configuration = try broker.configuration {
            $0.virtualHost = "\(type)"
            $0.queueType = type
        }
        let bus = try EventBus(transport: .rabbit(configuration))
        let handled = SeenNumbers()
        bus.subscribe(to: "large.probe", group: "group", name: "probe") { event, _ in
            handled.note(event.envelope)
        }
        try await bus.withRunning {
            let before = connections(bus)
            try await RawClient.run(configuration, frameMaximum: 1_048_576) { client in
                for number in 0..<6 {
                    let (flags, bytes) =
                        switch number {
                        case 2: properties(of: 500_000)
                        case 4: properties(of: 1_000_000)
                        default: properties(of: 100)
                        }
                    let body = Array("\(number)".utf8)
                    try client.publish(
                        exchange: "events",
                        routingKey: "large.probe",
                        flags: flags,
                        properties: bytes,
                        body: body
                    )
                }
            }
            try await eventually("all others are handled", within: .seconds(30)) {
                handled.all.isSuperset(of: [0, 1, 3, 5])
            }
            try await eventually("given up", within: .seconds(30)) {
                try await RawClient.count(queue: "group.dead", configuration) == 2
            }
            try await eventually("ready", within: .seconds(30)) { bus.health().isReady }
            let letters = bus.deadLetters(of: "group")
            let entries = try await letters.entries()
            #expect(entries.allSatisfy { $0.failure.reason.rawValue == "rejected" })
            #expect(Set(entries.map { String(decoding: $0.envelope.payload, as: UTF8.self) }) == ["2", "4"])
            let discarded = try await letters.discard { _ in true }
            #expect(discarded == 2)
            print("\(type): \(connections(bus)) connections after \(before)")
            // Two deliveries of each event.
            #expect(zip(connections(bus), before).map { $0 - $1 }.max() ?? 0 <= 4)
            try await bus.publish(Envelope(topic: "large.probe", payload: Array("6".utf8)))
            try await eventually("handled", within: .seconds(20)) { handled.all.contains(6) }
        }
    }

    @Test func `an event that fills a frame is redelivered with the broker's count`() async throws {
        let broker = try await TestBroker.shared()
        let name = freshName()
        let configuration = try broker.configuration { $0.exchange = "events-\(name)" }
        let topic = try Topic(validating: "\(name).probe")
        let queue = QueueSpecification(
            group: "group-\(name)",
            name: "probe",
            patterns: [TopicPattern(topic)],
            prefetch: 1
        )
        try await RabbitTransport.declareTopology(for: [queue], on: configuration)
        let (flags, bytes) = properties(of: Self.frame)
        try await RawClient.run(configuration) { client in
            try client.publish(
                exchange: "events-\(name)",
                routingKey: "\(name).probe",
                flags: flags,
                properties: bytes,
                body: [1]
            )
        }
        // Two consumers that leave without a settlement.
        for _ in 0..<2 {
            _ = try await RawClient.run(configuration) { try $0.take("group-\(name).probe") }
        }
        let bus = try EventBus(transport: .rabbit(configuration))
        let received = Received()
        bus.subscribe(to: TopicPattern(topic), group: "group-\(name)", name: "probe") { event, _ in
            received.add(event.envelope)
        }
        try await bus.withRunning {
            try await eventually("handled", within: .seconds(20)) { received.all.count == 1 }
            // The connection for publishing may not be open yet.
            try await eventually("one connection of each kind", within: .seconds(20)) { connections(bus) == [1, 1] }
        }
    }
}

import EventBus
import EventBusRabbit
import EventBusTesting
import Testing

/// Data on the wire, at the limits of the protocol.
@Suite(.timeLimit(.minutes(2)))
struct WireTests {
    /// Runs a bus that passes on the events that arrive.
    private func withBus(
        _ configure: (inout RabbitConfiguration) -> Void = { _ in },
        body: @escaping @Sendable (EventBus, Topic, Received) async throws -> Void
    ) async throws {
        let broker = try await TestBroker.shared()
        let name = freshName()
        let configuration = try broker.configuration {
            $0.exchange = "events-\(name)"
            configure(&$0)
        }
        let bus = try EventBus(transport: .rabbit(configuration))
        let received = Received()
        let topic = try Topic(validating: "\(name).probe")
        bus.subscribe(to: TopicPattern(topic), group: "group-\(name)", options: .init(concurrency: 1)) { event, _ in
            received.add(event.envelope)
        }
        try await bus.withRunning { try await body(bus, topic, received) }
    }

    @Test func `bodies around the size of a frame arrive whole and without a stall`() async throws {
        let frame = 131_072 - 8
        let chunk = 32 << 10
        var sizes: [Int] = [0, 1, 16_384, 16_385]
        for boundary in [frame, 2 * frame, 3 * frame, chunk, 4 * chunk] {
            sizes += [boundary - 1, boundary, boundary + 1]
        }
        sizes += [1 << 20, 5 << 20]
        try await withBus { [sizes] bus, topic, received in
            for (index, size) in sizes.enumerated() {
                let payload = (0..<size).map { UInt8(truncatingIfNeeded: $0 &* 31) }
                try await bus.publish(Envelope(topic: topic, payload: payload))
                try await eventually("a body of \(size) bytes") { received.all.count == index + 1 }
                #expect(received.all[index].payload == payload, "a body of \(size) bytes was changed")
            }
            // With the library's own way of sending, a body that fills its frames would wait 200 ms for more, every
            // time. On a busy machine, only some of them take long.
            for size in [frame, 2 * frame, chunk, 4 * chunk] {
                var times: [Duration] = []
                try await eventually("a body of \(size) bytes without a stall; \(times)") {
                    let start = ContinuousClock.now
                    try await bus.publish(Envelope(topic: topic, payload: [UInt8](repeating: 1, count: size)))
                    times.append(start.duration(to: .now))
                    return times.contains { $0 < .milliseconds(150) }
                }
                print("a body of \(size) bytes, which fills its frames: \(times)")
            }
        }
    }

    @Test func `a body over the limit is refused before anything is sent`() async throws {
        try await withBus({ $0.maximumBodySize = 1000 }) { bus, topic, received in
            try await bus.publish(Envelope(topic: topic, payload: [UInt8](repeating: 7, count: 1000)))
            await #expect(throws: EventBusError.self) {
                try await bus.publish(Envelope(topic: topic, payload: [UInt8](repeating: 7, count: 1001)))
            }
            try await bus.publish(Envelope(topic: topic, payload: [1]))
            try await eventually("both that are legal") { received.all.count == 2 }
        }
    }

    @Test func `a body over the consumer's limit goes to the dead letters`() async throws {
        let broker = try await TestBroker.shared()
        let name = freshName()
        let configuration = try broker.configuration { $0.exchange = "events-\(name)" }
        var narrow = configuration
        narrow.maximumBodySize = 100
        let topic = try Topic(validating: "\(name).probe")
        let publisher = try EventBus(transport: .rabbit(configuration))
        let consumer = try EventBus(transport: .rabbit(narrow))
        let received = Received()
        consumer.subscribe(to: TopicPattern(topic), group: "group-\(name)") { event, _ in received.add(event.envelope) }
        try await publisher.withRunning {
            try await consumer.withRunning {
                let large = [UInt8](repeating: 9, count: 300_000)
                try await publisher.publish(Envelope(topic: topic, payload: large))
                try await publisher.publish(Envelope(topic: topic, payload: [1]))
                try await eventually("the small one") { received.all.count == 1 }
                let letters = publisher.deadLetters(of: "group-\(name)")
                try await eventually("one dead letter") { try await letters.count() == 1 }
                let letter = try await letters.entries(limit: 1)[0]
                #expect(letter.envelope.payload == large)
                #expect(letter.failure.reason.rawValue == "rejected")
                #expect(letter.queue.hasPrefix("group-\(name)."))
            }
        }
    }

    @Test func `texts of 255 bytes pass and of 256 are refused, and the connection lives on`() async throws {
        try await withBus { bus, topic, received in
            let longest = String(repeating: "c", count: 255)
            var legal = Envelope(
                id: EventID(longest),
                topic: topic,
                payload: [1],
                correlationID: CorrelationID(longest)
            )
            legal.source = longest
            legal.partitionKey = longest
            // The value of a header has no such limit, in either direction.
            for count in [127, 128, 255, 256, 257] {
                legal.headers["value-\(count)"] = .string(String(repeating: "v", count: count))
            }
            legal.headers[String(repeating: "n", count: 128)] = "the longest name"
            let sent = legal
            try await bus.publish(sent)
            for tooLong in [
                Envelope(id: EventID(longest + "c"), topic: topic, payload: [2]),
                Envelope(topic: topic, payload: [2], source: longest + "c"),
                Envelope(topic: topic, payload: [2], correlationID: CorrelationID(longest + "c")),
                Envelope(topic: topic, payload: [2], headers: [String(repeating: "h", count: 129): 1]),
                Envelope(topic: topic, payload: [2], headers: [String(repeating: "h", count: 255): 1]),
                Envelope(topic: topic, payload: [2], headers: [String(repeating: "h", count: 256): 1]),
            ] {
                let error = await #expect(throws: EventBusError.self) { try await bus.publish(tooLong) }
                #expect(error?.code == .invalidEnvelope)
            }
            let error = await #expect(throws: EventBusError.self) {
                let large = HeaderValue.string(String(repeating: "x", count: 130_000))
                try await bus.publish(Envelope(topic: topic, payload: [3], headers: ["large": large]))
            }
            #expect(error?.code == .tooLarge)
            try await bus.publish(Envelope(topic: topic, payload: [4]))
            try await eventually("both that are legal") { received.all.count == 2 }
            #expect(received.all[0] == sent)
        }
    }

    @Test func `headers may nest 32 deep and no deeper`() async throws {
        func nested(_ depth: Int) -> HeaderValue {
            (0..<depth).reduce(HeaderValue.string("core")) { value, level in
                level % 2 == 0 ? .array([value]) : .table(["in": value])
            }
        }
        let (deepest, tooDeep) = (nested(32), nested(33))
        try await withBus { bus, topic, received in
            let sent = Envelope(topic: topic, payload: [1], headers: ["deep": deepest])
            try await bus.publish(sent)
            let error = await #expect(throws: EventBusError.self) {
                try await bus.publish(Envelope(topic: topic, payload: [2], headers: ["deep": tooDeep]))
            }
            #expect(error?.code == .invalidEnvelope)
            try await eventually("the legal one") { received.all.count == 1 }
            #expect(received.all[0] == sent)
        }
    }

    @Test func `a topic of 200 bytes survives a retry and a delay`() async throws {
        let broker = try await TestBroker.shared()
        let name = freshName()
        let configuration = try broker.configuration { $0.exchange = "events-\(name)" }
        let bus = try EventBus(transport: .rabbit(configuration))
        let topic = try Topic(validating: name + "." + String(repeating: "t", count: 199 - name.utf8.count))
        let received = Received()
        bus.subscribe(
            to: TopicPattern(topic),
            group: "group-\(name)",
            name: "long",
            options: .init(retry: .fixed(.milliseconds(100), maximumAttempts: 3))
        ) { event, context in
            if context.attempt < 3 { throw CancellationError() }
            received.add(event.envelope)
        }
        try await bus.withRunning {
            let sent = Envelope(topic: topic, payload: [1])
            try await bus.publish(sent, options: .init(delay: .milliseconds(100)))
            try await eventually("handled at the third attempt") { received.all.count == 1 }
            #expect(received.all[0] == sent)
        }
    }

    @Test func `a delay of more than 29 hours is refused`() async throws {
        try await withBus { bus, topic, _ in
            let error = await #expect(throws: EventBusError.self) {
                try await bus.publish(Envelope(topic: topic, payload: []), options: .init(delay: .seconds(30 * 3600)))
            }
            #expect(error?.code == .unsupported)
        }
    }
}

/// A collection of received envelopes.
final class Received: Sendable {
    private let envelopes = Locked<[Envelope]>([])

    var all: [Envelope] { envelopes.withLock { $0 } }

    func add(_ envelope: Envelope) { envelopes.withLock { $0.append(envelope) } }
}

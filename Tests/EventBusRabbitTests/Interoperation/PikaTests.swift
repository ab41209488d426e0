import EventBus
import EventBusRabbit
import EventBusTesting
import Testing

/// Interoperation with a client that does not know this library.
@Suite(.timeLimit(.minutes(3)))
struct PikaTests {
    private struct Seen: Decodable {
        var routingKey: String?
        var body: String?
        var contentType: String?
        var correlationID: String?
        var messageID: String?
        var type: String?
        var appID: String?
        var timestamp: Int?
        var deliveryMode: Int?
        var headers: [String: JSONValue]?
    }

    private enum JSONValue: Decodable, Equatable {
        case text(String)
        case number(Int)
        case other

        init(from decoder: any Decoder) throws {
            let container = try decoder.singleValueContainer()
            if let number = try? container.decode(Int.self) {
                self = .number(number)
            } else if let text = try? container.decode(String.self) {
                self = .text(text)
            } else {
                self = .other
            }
        }
    }

    private func decode<Value: Decodable>(_ text: String) throws -> Value {
        try JSONEventCodec().decode(Value.self, from: Array(text.utf8))
    }

    private func makeBus(_ name: String) async throws -> (TestBroker, EventBus) {
        let broker = try await TestBroker.shared()
        return (broker, try EventBus(transport: .rabbit(broker.configuration { $0.exchange = "events-\(name)" })))
    }

    @Test func `it sees the properties and headers of the design`() async throws {
        let name = freshName()
        let (broker, bus) = try await makeBus(name)
        try await bus.withRunning {
            try await eventually("the exchange is there") { bus.health().isReady }
            try await Pika.run("bind", "pika-\(name)", "events-\(name)", "\(name).#", broker: broker)
            let sent = Envelope(
                topic: try Topic(validating: "\(name).created"),
                payload: Array(#"{"orderID":"42"}"#.utf8),
                version: 3,
                time: EventTime(milliseconds: 1_700_000_000_123),
                source: "orders",
                correlationID: "chain-1",
                causationID: "cause-1",
                partitionKey: "customer 9",
                headers: ["traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "n": 7]
            )
            try await bus.publish(sent)
            let seen: Seen = try decode(try await Pika.run("get", "pika-\(name)", broker: broker))
            #expect(seen.routingKey == "\(name).created")
            #expect(seen.body == #"{"orderID":"42"}"#)
            #expect(seen.contentType == "application/json")
            #expect(seen.correlationID == "chain-1")
            #expect(seen.messageID == sent.id.rawValue)
            #expect(seen.type == "\(name).created")
            #expect(seen.appID == "orders")
            #expect(seen.timestamp == 1_700_000_000)
            #expect(seen.deliveryMode == 2)
            #expect(
                seen.headers == [
                    "event-version": .number(3), "event-time": .text("2023-11-14T22:13:20.123Z"),
                    "causation-id": .text("cause-1"), "partition-key": .text("customer 9"), "n": .number(7),
                    "traceparent": .text("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
                ]
            )
        }
    }

    @Test func `its bare JSON is handled, and its garbage lies in the dead letters, byte for byte`() async throws {
        let name = freshName()
        let (broker, bus) = try await makeBus(name)
        let seen = Received()
        bus.subscribe(to: try TopicPattern(validating: "\(name).*"), group: "group-\(name)") { event, _ in
            let order = try event.decoded(as: [String: String].self)
            #expect(order == ["orderID": "42"])
            seen.add(event.envelope)
        }
        try await bus.withRunning {
            let json = Array(#"{"orderID":"42"}"#.utf8)
            let garbage: [UInt8] = [0x00, 0xFF, 0xC3, 0x28] + Array("{not json".utf8)
            try await Pika.run("publish", "events-\(name)", "\(name).created", hex(json), broker: broker)
            try await eventually("handled") { seen.all.count == 1 }
            #expect(seen.all[0].topic.rawValue == "\(name).created")
            #expect(seen.all[0].payload == json)
            try await Pika.run("publish", "events-\(name)", "\(name).created", hex(garbage), broker: broker)
            let letters = bus.deadLetters(of: "group-\(name)")
            try await eventually("one dead letter") { try await letters.count() == 1 }
            let letter = try await letters.entries(limit: 1)[0]
            #expect(letter.envelope.payload == garbage)
            #expect(letter.failure.reason == .undecodable)
        }
    }

    @Test func `what the broker would act on again does not go out again`() async throws {
        let name = freshName()
        let (broker, bus) = try await makeBus(name)
        let seen = Received()
        bus.subscribe(
            to: try TopicPattern(validating: "\(name).created"),
            group: "group-\(name)",
            options: .init(retry: .fixed(.milliseconds(100), maximumAttempts: 4))
        ) { event, context in
            if context.attempt < 4 { throw CancellationError() }
            seen.add(event.envelope)
        }
        try await bus.withRunning {
            try await Pika.run("publish-odd", "events-\(name)", "\(name).created", broker: broker)
            // With the publisher's user-id, expiration or CC, retries through the levels would fail, drop or copy the
            // event.
            try await eventually("handled at the fourth attempt") { seen.all.count == 1 }
            #expect(seen.all[0].headers["tenant"] == "acme")
            #expect(seen.all[0].headers["CC"] == nil)
            #expect(seen.all[0].headers["nested"] == .table(["a": .array([1, "b", true])]))
            let count = try await bus.deadLetters(of: "group-\(name)").count()
            #expect(count == 0)
        }
        #expect(seen.all.count == 1)
    }

    @Test func `header tables deeper than any of ours neither crash nor block`() async throws {
        let name = freshName()
        let (broker, bus) = try await makeBus(name)
        let seen = Received()
        bus.subscribe(
            to: try TopicPattern(validating: "\(name).created"),
            group: "group-\(name)",
            options: .init(retry: .never)
        ) { event, _ in
            seen.add(event.envelope)
            if event.envelope.payload == Array("{}".utf8) { throw CancellationError() }
        }
        try await bus.withRunning {
            // 6,000 nested arrays are 30 KB, and overflow a stack of 512 KB.
            let depths = DeepTables.areDecoded ? ["31", "33", "400", "6000", "20000"] : ["31", "33"]
            for depth in depths {
                try await Pika.run("deep", "events-\(name)", "\(name).created", depth, broker: broker)
            }
            try await Pika.run("publish", "events-\(name)", "\(name).created", hex(Array("[]".utf8)), broker: broker)
            try await eventually("all handled", within: .seconds(30)) { seen.all.count == depths.count + 1 }
            // A message that cannot be sent again unchanged reaches the dead letters through the broker's own
            // dead-lettering.
            let letters = bus.deadLetters(of: "group-\(name)")
            try await eventually("dead letters", within: .seconds(30)) { try await letters.count() == depths.count }
            #expect(try await letters.entries(limit: 10).count == depths.count)
            let connections = bus.health().components.compactMap { $0.details["connections"] }
            print("header tables \(depths) deep: all handled and dead-lettered, connections \(connections)")
            #expect(connections == [1, 1])
        }
    }

    @Test func `its headers may have names of 255 bytes and values of more, over a retry too`() async throws {
        let name = freshName()
        let (broker, bus) = try await makeBus(name)
        let seen = Received()
        bus.subscribe(
            to: try TopicPattern(validating: "\(name).created"),
            group: "group-\(name)",
            options: .init(retry: .fixed(.milliseconds(100), maximumAttempts: 3))
        ) { event, context in
            seen.add(event.envelope)
            if context.attempt < 2 { throw CancellationError() }
        }
        try await bus.withRunning {
            try await Pika.run("long-headers", "events-\(name)", "\(name).created", broker: broker)
            try await eventually("handled at the second attempt") { seen.all.count == 2 }
            for envelope in seen.all {
                #expect(envelope.headers["v255"] == .string(String(repeating: "v", count: 255)))
                #expect(envelope.headers["v256"] == .string(String(repeating: "v", count: 256)))
                #expect(envelope.headers[String(repeating: "n", count: 255)] == "of 255")
            }
            let count = try await bus.deadLetters(of: "group-\(name)").count()
            #expect(count == 0)
        }
    }

    @Test func `its request is answered`() async throws {
        struct Doubling: RequestEvent {
            typealias Reply = Int
            static let topic: Topic = "pika.double"
            var number: Int
        }
        let name = freshName()
        let (broker, bus) = try await makeBus(name)
        bus.respond(to: Doubling.self, group: "group-\(name)") { request, _ in request.number * 2 }
        try await bus.withRunning {
            struct Answer: Decodable {
                var correlationID: String
                var body: String
            }
            let output = try await Pika.run(
                "request",
                "events-\(name)",
                "pika.double",
                #"{"number":21}"#,
                broker: broker
            )
            let answer: Answer = try decode(output)
            #expect(answer.correlationID == "pika-1")
            #expect(answer.body == "42")
        }
    }

    private func hex(_ bytes: [UInt8]) -> String {
        bytes.map { byte in
            let text = String(byte, radix: 16)
            return text.count == 1 ? "0" + text : text
        }.joined()
    }
}

import EventBus
import EventBusRabbit
import EventBusTesting
import Testing

/// Events that this library's clients never create. They do not affect other events, and end in the dead letters.
@Suite(.timeLimit(.minutes(2)))
struct ForeignEventTests {
    /// The flags of the properties, in the order in which they are written.
    private enum Flag {
        static let headers: UInt16 = 1 << 13
        static let correlationID: UInt16 = 1 << 10
        static let messageID: UInt16 = 1 << 7
        static let appID: UInt16 = 1 << 3
    }

    private static let noText = [UInt8](repeating: 0xFF, count: 100)

    private static func properties(_ kind: String) -> (flags: UInt16, bytes: [UInt8]) {
        var bytes = AMQPBytes()
        switch kind {
        case "message id": bytes.shortString(noText)
        case "correlation id": bytes.shortString(noText)
        case "app id": bytes.shortString(noText)
        default:
            var table = AMQPBytes()
            table.shortString(noText)
            table.octet(UInt8(ascii: "t"))
            table.octet(1)
            bytes.longString(table.bytes)
        }
        let flags = [
            "message id": Flag.messageID, "correlation id": Flag.correlationID, "app id": Flag.appID,
            "header": Flag.headers,
        ]
        return (flags[kind] ?? 0, bytes.bytes)
    }

    @Test(arguments: ["message id", "correlation id", "app id", "header"])
    func `a text that is no text stops nobody's publishing, and rests with the dead letters as it came`(
        kind: String
    ) async throws {
        let name = freshName()
        let configuration = try await TestBroker.shared().configuration { $0.exchange = "events-\(name)" }
        let topic = try Topic(validating: "\(name).probe")
        let bus = try EventBus(transport: .rabbit(configuration))
        let handled = Received()
        bus.subscribe(
            to: TopicPattern(topic),
            group: "group-\(name)",
            options: .init(retry: .fixed(.milliseconds(100), maximumAttempts: 3))
        ) { event, _ in
            handled.add(event.envelope)
            if event.envelope.payload == [7, 7, 7] { throw CancellationError() }
        }
        let properties = Self.properties(kind)
        try await bus.withRunning {
            try await RawClient.run(configuration) { client in
                try client.publish(
                    exchange: configuration.exchange,
                    routingKey: topic.rawValue,
                    flags: properties.flags,
                    properties: properties.bytes,
                    body: [7, 7, 7]
                )
            }
            let letters = bus.deadLetters(of: "group-\(name)")
            try await eventually("with the dead letters", within: .seconds(10)) { try await letters.count() == 1 }
            for _ in 0..<20 { try await bus.publish(Envelope(topic: topic, payload: [1])) }
            try await eventually("the others handled") { handled.all.count == 21 }
            #expect(bus.health().components.compactMap { $0.details["connections"] } == [1, 1])
            #expect(try await letters.entries(limit: 1).first?.envelope.payload == [7, 7, 7])
        }
        // Unchanged, with the bytes that are not valid text.
        let letter = try await RawClient.run(configuration) { try $0.get("group-\(name).dead") }
        #expect(letter.body == [7, 7, 7])
        let count = letter.header.indices.count { letter.header[$0...].starts(with: Self.noText) }
        #expect(count >= 1, "the bytes are gone")
    }

    @Test func `two events with different ids that are no text are two events`() async throws {
        let name = freshName()
        let configuration = try await TestBroker.shared().configuration { $0.exchange = "events-\(name)" }
        let topic = try Topic(validating: "\(name).probe")
        let bus = try EventBus(transport: .rabbit(configuration))
        let handled = Received()
        bus.subscribe(to: TopicPattern(topic), group: "group-\(name)") { event, _ in handled.add(event.envelope) }
        try await bus.withRunning {
            try await RawClient.run(configuration) { client in
                for last in [UInt8(0xFE), 0xFF] {
                    var bytes = AMQPBytes()
                    bytes.shortString([0xFF, last])
                    try client.publish(
                        exchange: configuration.exchange,
                        routingKey: topic.rawValue,
                        flags: Flag.messageID,
                        properties: bytes.bytes,
                        body: [1]
                    )
                }
            }
            try await eventually("both") { handled.all.count == 2 }
            #expect(handled.all.map(\.id.rawValue).sorted() == ["fffe", "ffff"])
        }
    }

    @Test func `one dead letter that cannot be replayed holds up no other`() async throws {
        let name = freshName()
        let configuration = try await TestBroker.shared().configuration { $0.exchange = "events-\(name)" }
        let topic = try Topic(validating: "\(name).probe")
        let broadcastTopic = try Topic(validating: "\(name).broadcast")
        let bus = try EventBus(transport: .rabbit(configuration))
        let handled = Received()
        let isBroken = Switch(true)
        for (pattern, isBroadcast) in [(topic, false), (broadcastTopic, true)] {
            bus.subscribe(
                to: TopicPattern(pattern),
                group: "group-\(name)",
                name: isBroadcast ? "all" : "one",
                options: .init(retry: .never, broadcast: isBroadcast)
            ) { event, _ in
                if isBroken.isOn { throw CancellationError() }
                handled.add(event.envelope)
            }
        }
        try await bus.withRunning {
            let letters = bus.deadLetters(of: "group-\(name)")
            // First the events that cannot be replayed: that of a broadcast, and one that cannot be sent again
            // unchanged.
            try await bus.publish(Envelope(topic: broadcastTopic, payload: [0]))
            try await eventually("the first dead letter") { try await letters.count() == 1 }
            let properties = Self.properties("app id")
            try await RawClient.run(configuration) { client in
                try client.publish(
                    exchange: configuration.exchange,
                    routingKey: topic.rawValue,
                    flags: properties.flags,
                    properties: properties.bytes,
                    body: [1]
                )
            }
            try await eventually("the second") { try await letters.count() == 2 }
            for number in 2..<5 { try await bus.publish(Envelope(topic: topic, payload: [UInt8(number)])) }
            try await eventually("the others") { try await letters.count() == 5 }
            isBroken.set(false)
            let error = await #expect(throws: EventBusError.self) { try await letters.replayAll() }
            #expect(error?.code == .unroutable)
            for part in ["3 dead letters", "2 stay", "unroutable", "unsupported"] {
                #expect(error?.message.contains(part) == true, "\(part) is missing in \(String(describing: error))")
            }
            try await eventually("replayed") { handled.all.count == 3 }
            #expect(handled.all.compactMap(\.payload.first).sorted() == [2, 3, 4])
            #expect(try await letters.count() == 2)
        }
    }
}

/// A flag that a test sets.
final class Switch: Sendable {
    private let state: Locked<Bool>

    init(_ isOn: Bool) { state = Locked(isOn) }

    var isOn: Bool { state.withLock { $0 } }

    func set(_ isOn: Bool) { state.withLock { $0 = isOn } }
}

import EventBus
import Testing

@testable import EventBusRabbit

/// The topic, the number of attempts and the number of redeliveries of a message, depending on the way in which it
/// arrived.
struct MessageDecoderTests {
    private let levels = String(repeating: "0.", count: DelayRoute.levels)

    private func message(_ exchange: String, _ routingKey: String, _ type: String? = nil) -> AMQPMessage {
        var properties = AMQPProperties()
        properties.type = type
        properties.headers = [WireHeaders.topic: "own.topic", WireHeaders.attempts: 3, WireHeaders.deliveryCount: 1000]
        return AMQPMessage(exchange: exchange, routingKey: routingKey, properties: properties, body: [])
    }

    private func decoder(_ patterns: String..., counts: Bool = true) throws -> MessageDecoder {
        MessageDecoder(
            events: "events",
            patterns: try patterns.map { try TopicPattern(validating: $0) },
            countsRedeliveries: counts
        )
    }

    @Test func `a message without an id has the same one in every delivery, and another one if it differs`() throws {
        let decoder = try decoder("#")
        func id(_ change: (inout AMQPMessage) -> Void) throws -> EventID {
            var message = AMQPMessage(exchange: "events", routingKey: "a.b", properties: .init(), body: [1, 2])
            message.properties.headers = ["tenant": "acme"]
            change(&message)
            return try decoder.decode(message, in: "group.name").envelope.id
        }
        let first = try id { _ in }
        let same: [(inout AMQPMessage) -> Void] = [
            { _ in },
            // A blank id is none, since all events of its publisher would have it.
            { $0.properties.messageID = "" },
            { $0.properties.messageID = " \u{0}\n" },
            // The broker counts these.
            { $0.properties.headers[WireHeaders.deliveryCount] = 3 },
            { $0.properties.headers["x-acquired-count"] = 3 },
            // Anybody may have written these.
            { $0.properties.headers[WireHeaders.attempts] = 3 },
            { $0.properties.headers[WireHeaders.topic] = "forged" },
        ]
        for change in same { #expect(try id(change) == first) }
        let others: [(inout AMQPMessage) -> Void] = [
            { $0.exchange = "legacy" },
            { $0.routingKey = "a.c" },
            { $0.body = [1] },
            { $0.properties.type = "a" },
            { $0.properties.appID = "a" },
            { $0.properties.correlationID = "a" },
            { $0.properties.timestamp = 1 },
            { $0.properties.headers["tenant"] = "other" },
            { $0.properties.headers["event-time"] = "2026-01-01T00:00:00Z" },
            { $0.properties.messageID = "own" },
        ]
        #expect(Set(try others.map { try id($0) } + [first]).count == others.count + 1)
        #expect(try id { $0.properties.messageID = "own" } == "own")
    }

    /// A message as the broker moves it to a subscription's queue from the one in which due events wait.
    private func due(_ key: String, from queue: String = "group.name", _ type: String? = nil, others: [String] = [])
        -> AMQPMessage
    {
        var message = message(TopologyNames.delayDue, queue, type)
        func record(_ queue: String, _ exchange: String) -> HeaderValue {
            .table([
                "queue": .string(queue), "reason": "expired", "exchange": .string(exchange),
                "routing-keys": .array(([key] + others).map { .string($0) }),
            ])
        }
        message.properties.headers[WireHeaders.death] = .array([
            record(TopologyNames.dueQueue(of: queue), "eventbus.delay.v1.exit"),
            record("eventbus.delay.v1.3", "eventbus.delay.v1.3"),
        ])
        return message
    }

    @Test func `headers of the bus are believed if the way of the message leads to this queue`() throws {
        let decoder = try decoder("#")
        let trusted: [(message: AMQPMessage, queue: String)] = [
            (message("", "group.name"), "group.name"), (message("eventbus.dead.v1", "group"), "group.dead"),
            (message("eventbus.delay.v1.7", levels + "q.group.name"), "group.name"),
            (message("eventbus.delay.v1.exit", levels + "r.group.name"), "group.name"),
            (due(levels + "r.group.name"), "group.name"),
        ]
        for (message, queue) in trusted {
            let decoded = try decoder.decode(message, in: queue)
            #expect(decoded.envelope.topic == "own.topic", "\(message.exchange)")
            #expect(decoded.failedAttempts == 3)
            #expect(decoded.isTrusted)
        }
        for exchange in ["events", "amq.topic", "eventbus", "eventbusdelay.v1.7", "eventbus.dead.v1", ""] {
            let decoded = try decoder.decode(message(exchange, "a.b", "c.d"), in: "group.name")
            #expect(decoded.envelope.topic == "a.b", "\(exchange)")
            #expect(decoded.failedAttempts == 0)
            #expect(!decoded.isTrusted)
        }
    }

    @Test func `a copy that CC or BCC brought into the queue of another subscription has no topic`() throws {
        let other = levels + "r.other.name"
        let unmarked = message(TopologyNames.delayDue, "group.name", "a.b")
        let misrouted = [
            message("eventbus.delay.v1.7", other, "a.b"), due(other, from: "group.name", "a.b"), unmarked,
            due("r.group.name", from: "group.name", "a.b"),
            due(levels + "r.group.name", from: "group.name", "a.b", others: [other]),
        ]
        for message in misrouted {
            for pattern in ["#", "a.b"] {
                #expect(throws: NoTopic.self) { try decoder(pattern).decode(message, in: "group.name") }
            }
        }
    }

    @Test func `the topic of a scheduled event is the one in its routing key, whatever its headers say`() throws {
        for key in ["t.a.b", "e.0123abcd.a.b"] {
            for message in [
                message("eventbus.delay.v1.2", levels + key, "c.d"), due(levels + key, from: "group.name", "c.d"),
            ] {
                let decoded = try decoder("#").decode(message, in: "group.name")
                #expect(decoded.envelope.topic == "a.b")
                #expect(decoded.failedAttempts == 0)
                #expect(!decoded.isTrusted)
            }
        }
    }

    @Test func `without a header of the bus the topic is what the broker or the subscription says`() throws {
        func plain(_ exchange: String, _ routingKey: String, _ type: String? = nil) -> AMQPMessage {
            var message = message(exchange, routingKey, type)
            message.properties.headers = [:]
            return message
        }
        // Published directly to the queue: the subscription's only topic, or the type if the pattern matches it.
        #expect(try decoder("a.b").decode(plain("", "group.name", "c.d"), in: "group.name").envelope.topic == "a.b")
        #expect(try decoder("a.*").decode(plain("", "group.name", "a.c"), in: "group.name").envelope.topic == "a.c")
        #expect(throws: NoTopic.self) {
            try decoder("a.*").decode(plain("", "group.name", "OrderPlaced"), in: "group.name")
        }
        #expect(throws: NoTopic.self) { try decoder("#").decode(plain("", "group.name"), in: "group.name") }
        #expect(throws: NoTopic.self) { try decoder("#").decode(plain("events", "a..b", "a.b"), in: "group.name") }
        // Through an exchange that another party bound to the queue.
        #expect(try decoder("a.b").decode(plain("legacy", "x", "c.d"), in: "group.name").envelope.topic == "a.b")
        #expect(try decoder("a.*").decode(plain("legacy", "a.z", "a.c"), in: "group.name").envelope.topic == "a.z")
        #expect(try decoder("a.*").decode(plain("legacy", "x", "a.c"), in: "group.name").envelope.topic == "a.c")
    }

    @Test func `a count of deliveries is believed of a redelivered message in a queue that counts them`() throws {
        let fresh = message("events", "a.b")
        #expect(try decoder("#").decode(fresh, in: "q").redeliveries == 0)
        #expect(try decoder("#").decode(fresh, in: "q", isRedelivered: true).redeliveries == 1000)
        #expect(try decoder("#", counts: false).decode(fresh, in: "q", isRedelivered: true).redeliveries == 1)
        var negative = fresh
        negative.properties.headers[WireHeaders.deliveryCount] = .int(.min)
        #expect(try decoder("#").decode(negative, in: "q", isRedelivered: true).redeliveries == 1)
    }

    @Test func `what was not written by a bus does not go out again as if it were`() throws {
        let message = message("events", "a.b")
        func republished(_ isTrusted: Bool) -> HeaderTable {
            message.properties.forRepublish(id: "1", topic: "a.b", from: message, isTrusted: isTrusted).headers
        }
        #expect(republished(false)[WireHeaders.topic] == "a.b")
        #expect(republished(false)[WireHeaders.attempts] == nil)
        #expect(republished(false)[WireHeaders.deliveryCount] == nil)
        #expect(republished(false)[WireHeaders.originalRoutingKey] == "a.b")
        var forged = message
        forged.properties.headers[WireHeaders.originalRoutingKey] = "x.y"
        forged.properties.headers[WireHeaders.firstFailure] = "never"
        let headers = forged.properties.forRepublish(id: "1", topic: nil, from: forged, isTrusted: false).headers
        #expect(headers[WireHeaders.originalRoutingKey] == "a.b")
        #expect(headers[WireHeaders.firstFailure] == nil)
        #expect(headers[WireHeaders.topic] == nil)
    }

    @Test func `ids that no event may have, and times outside of four-digit years, are replaced`() throws {
        let decoder = try decoder("#")
        let long = String(repeating: "x", count: 256)
        for text in [long, "a\u{0}b"] {
            var message = AMQPMessage(exchange: "events", routingKey: "a.b", properties: .init(), body: [])
            // The text that 255 bytes of invalid UTF-8 become.
            let replaced = String(repeating: "\u{FFFD}", count: 255)
            message.properties.contentType = replaced
            message.properties.contentEncoding = replaced
            message.properties.appID = replaced
            message.properties.headers = [
                WireHeaders.correlationID: .string(text), WireHeaders.causationID: .string(text),
                WireHeaders.partitionKey: .string(text + long),
                "numbers": .array([.double(.nan), .table(["a": .double(-.infinity)]), 1]),
            ]
            let envelope = try decoder.decode(message, in: "group.name").envelope
            try envelope.validate()
            #expect(envelope.correlationID?.rawValue == envelope.causationID?.rawValue)
            #expect(envelope.correlationID?.rawValue.utf8.count == 36)
            #expect(envelope.partitionKey?.utf8.count == 36)
            #expect(envelope.headers["numbers"] == .array(["nan", .table(["a": "-inf"]), 1]))
            // The digest is the same in every delivery.
            #expect(try decoder.decode(message, in: "group.name").envelope.partitionKey == envelope.partitionKey)
        }
        for seconds: Int64 in [300_000_000_000, -70_000_000_000, .max, .min] {
            var message = AMQPMessage(exchange: "events", routingKey: "a.b", properties: .init(), body: [])
            message.properties.timestamp = seconds
            let time = try decoder.decode(message, in: "group.name").envelope.time
            #expect(EventTime(rfc3339: time.rfc3339) == time)
            #expect(time > EventTime(milliseconds: 1_700_000_000_000))
            let record: HeaderTable = ["queue": "q", "reason": "expired", "time": .timestamp(seconds: seconds)]
            let headers: HeaderTable = ["x-death": .array([.table(record)])]
            guard case .record(let death) = BrokerDeath.newest(in: headers, where: { _ in true }) else {
                Issue.record("the record was not read")
                continue
            }
            #expect(death.time == nil)
        }
    }

    @Test func `replies go to pseudo-queues of the broker and to what is allowed`() {
        let queues = ReplyQueues(allowed: ["rpc.replies", "amq.gen-*"])
        for name in [ForgedReplyTo.wrongHash, "rpc.replies", "amq.gen-X1"] { #expect(queues.contains(name)) }
        for name in ["amq.rabbitmq.reply-to", "victim.payments", "rpc.replies2", "group.dead", "amq.gen"] {
            #expect(!queues.contains(name))
        }
    }
}

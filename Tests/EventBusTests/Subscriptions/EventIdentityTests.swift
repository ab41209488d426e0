import EventBus
import EventBusInMemory
import EventBusTesting
import InMemoryLogging
import Logging
import Testing

@Suite("The identity of events for a subscription", .timeLimit(.minutes(1)))
struct EventIdentityTests {
    private static let topic: Topic = "order.placed"

    private let clock = ManualClock()
    private let broker: InMemoryBroker
    private let log = InMemoryLogHandler()

    init() {
        broker = InMemoryBroker(clock: clock)
    }

    private func makeBus() -> EventBus {
        EventBus(transport: .inMemory(broker), logger: Logger(label: "test") { [log] _ in log })
    }

    private func envelope(_ payload: String = "{}", headers: EventHeaders = [:], key: String? = nil) -> Envelope {
        Envelope(id: "own", topic: Self.topic, payload: Array(payload.utf8), partitionKey: key, headers: headers)
    }

    /// Handles events, each of whose first two attempts fails, and returns the ids of all attempts.
    private func ids(
        _ identity: EventIdentity,
        ordering: SubscriptionOptions.Ordering = .none,
        of events: Envelope...
    ) async throws -> [EventID] {
        let bus = makeBus()
        let seen = Locked<[EventID]>([])
        let options = SubscriptionOptions(
            retry: .fixed(.seconds(1), maximumAttempts: 3),
            ordering: ordering,
            identity: identity
        )
        let subscription = bus.subscribe(to: "order.*", group: "g", options: options) { _, context in
            seen.withLock { $0.append(context.id) }
            if context.attempt < 3 { throw Broken() }
        }
        try await bus.withRunning {
            try await subscription.attached()
            for event in events { try await bus.publish(event) }
            try await broker.settled()
        }
        return seen.withLock { $0 }
    }

    @Test(
        "An id is derived from a header, a field, the payload or by a closure",
        arguments: [
            (EventIdentity.header("order"), "order-7"), (.header("number"), "7"), (.field("orderID"), "order-7"),
            (.field("order", "number"), "18446744073709551615"), (.derived { "\($0.topic)/7" }, "order.placed/7"),
        ]
    )
    func derived(identity: EventIdentity, expected: String) async throws {
        let payload = #"{"orderID":"order-7","order":{"number":18446744073709551615}}"#
        let event = envelope(payload, headers: ["order": "order-7", "number": 7])
        #expect(try await ids(identity, of: event).map(\.rawValue) == [expected, expected, expected])
        #expect(log.entries.allSatisfy { $0.level < .warning })
    }

    @Test("Equal payloads have the same id, and others do not")
    func payload() async throws {
        let ids = try await ids(.payload, of: envelope("1"), envelope("2"), envelope("1"))
        #expect(ids.count == 9)
        #expect(Set(ids).count == 2)
        #expect(!ids.contains("own"))
    }

    @Test(
        "An event from which no id can be derived keeps its own, and is handled",
        arguments: [
            EventIdentity.header("missing"), .header("blank"), .header("list"), .header("nothing"), .header("empty"),
            .field("missing"), .field("blank"), .field("list"), .field("text", "inside"), .field("half"),
            .derived { _ in nil }, .derived { _ in " \n" }, .derived { _ in throw Broken() },
        ]
    )
    func keepsOwn(identity: EventIdentity) async throws {
        let event = envelope(
            #"{"blank":" ","list":[1],"text":"x","half":1.5}"#,
            headers: ["blank": "\u{0} \n", "list": ["a"], "nothing": nil, "empty": .bytes([])]
        )
        #expect(try await ids(identity, of: event, event) == Array(repeating: "own", count: 6))
        let warnings = log.entries.filter { $0.level == .warning && "\($0.message)".contains("keeps its own id") }
        #expect(warnings.count == 1, "it is logged once")
    }

    @Test("A field of a payload that cannot be read keeps the own id", arguments: ["", "{", "[1]", "7", "\u{FFFD}"])
    func unreadable(payload: String) async throws {
        #expect(try await ids(.field("a"), of: envelope(payload)).allSatisfy { $0 == "own" })
        var compressed = envelope(#"{"a":"1"}"#)
        compressed.contentEncoding = "gzip"
        #expect(try await ids(.field("a"), of: compressed).allSatisfy { $0 == "own" })
    }

    @Test("A value that is too long or has control characters is replaced by a digest of it")
    func hostile() async throws {
        let long = String(repeating: "ä", count: 128)
        let values = [long, long + "x", "a\u{0}b", "a\nb", "a\u{7F}b"]
        var ids: [EventID] = []
        for value in values {
            ids.append(
                try #require(
                    try await self.ids(.header("order"), of: envelope(headers: ["order": .string(value)])).last
                )
            )
        }
        ids.append(
            try #require(try await self.ids(.header("order"), of: envelope(headers: ["order": .bytes([0xFF])])).last)
        )
        #expect(Set(ids).count == ids.count)
        #expect(ids.allSatisfy { $0.rawValue.utf8.count == 36 })
        let longest = String(repeating: "x", count: EventID.maximumLength)
        let kept = try await self.ids(.header("order"), of: envelope(headers: ["order": .string(longest)]))
        #expect(kept.allSatisfy { $0.rawValue == longest })
    }

    @Test("An inbox takes events with the same derived id for one", arguments: [false, true])
    func inbox(byKey: Bool) async throws {
        let bus = makeBus()
        let handled = Locked<[InboxKey]>([])
        let options = SubscriptionOptions(
            retry: .fixed(.seconds(1), maximumAttempts: 3),
            ordering: byKey ? .byPartitionKey : .none,
            inbox: InMemoryInbox(clock: clock),
            identity: .field("id")
        )
        bus.subscribe(to: "order.*", group: "g", name: "orders", options: options) { _, context in
            handled.withLock { $0.append(context.inboxKey) }
            if byKey, context.attempt == 1 { throw Broken() }
        }
        try await bus.withRunning {
            for id in ["1", "2", "1", "1"] {
                let payload = Array(#"{"id":"\#(id)"}"#.utf8)
                try await bus.publish(Envelope(topic: Self.topic, payload: payload, partitionKey: "key"))
            }
            try await broker.settled()
        }
        let counts = handled.withLock { Dictionary(grouping: $0, by: \.eventID).mapValues(\.count) }
        #expect(counts == (byKey ? ["1": 2, "2": 2] : ["1": 1, "2": 1]))
    }

    @Test("The derived id is the cause of what the handler publishes, and the id of the dead letter")
    func effects() async throws {
        let bus = makeBus()
        let causes = Locked<[EventID?]>([])
        bus.subscribe(
            to: "order.placed",
            group: "g",
            name: "orders",
            options: .init(retry: .fixed(.seconds(1), maximumAttempts: 2), identity: .field("id"))
        ) { [bus] _, _ in
            try await bus.publish(OrderConfirmed(orderID: "7"))
            throw Broken()
        }
        bus.subscribe(to: OrderConfirmed.self, group: "effects") { _, context in
            causes.withLock { $0.append(context.envelope.causationID) }
        }
        try await bus.withRunning {
            try await bus.publish(envelope(#"{"id":"order-7"}"#))
            try await broker.settled()
            #expect(causes.withLock { $0 } == ["order-7", "order-7"])
            let letter = try await bus.deadLetters(of: "g").entries(limit: 1).first
            #expect(letter?.envelope.id == "order-7")
        }
    }

    @Test(
        "An identity without a name is refused",
        arguments: [EventIdentity.header(""), .field()]
    )
    func refused(identity: EventIdentity) async throws {
        let bus = makeBus()
        let subscription = bus.subscribe(to: "order.*", group: "g", options: .init(identity: identity)) { _, _ in }
        let error = await #expect(throws: EventBusError.self) { try await subscription.attached() }
        #expect(error?.code == .invalidConfiguration)
        #expect(error?.message.contains("without a name") == true)
    }
}

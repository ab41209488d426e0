import EventBus
import EventBusInMemory
import EventBusTesting
import Testing

@Suite("Payload steps", .timeLimit(.minutes(1)))
struct PayloadStepTests {
    private let broker = InMemoryBroker(clock: ManualClock())

    private func bus(_ configure: (inout EventBusConfiguration) -> Void) -> EventBus {
        var configuration = EventBusConfiguration()
        configure(&configuration)
        return EventBus(transport: .inMemory(broker), configuration: configuration)
    }

    @Test("Steps encode in order, the names of those that did are recorded, and handlers see none of it")
    func order() async throws {
        let steps = [AffixStep("a"), AffixStep("b", encodes: false), AffixStep("C")]
        let bus = bus { $0.payloadSteps = steps }
        let handled = Locked<[Envelope]>([])
        bus.subscribe(to: OrderCreated.self, group: "typed") { order, context in
            #expect(order == OrderCreated(orderID: "42"))
            handled.withLock { $0.append(context.envelope) }
        }
        bus.subscribe(to: "order.#", group: "pattern") { event, _ in
            let order = try event.decoded(as: OrderCreated.self)
            #expect(order == OrderCreated(orderID: "42"))
            handled.withLock { $0.append(event.envelope) }
        }
        let envelope = try bus.envelope(for: OrderCreated(orderID: "42"))
        #expect(envelope.contentEncoding == "a, c")
        #expect(String(decoding: envelope.payload, as: UTF8.self) == #"C:a:{"orderID":"42"}"#)
        try await bus.withRunning {
            try await bus.publish(envelope)
            try await broker.settled()
        }
        var plain = envelope
        (plain.contentEncoding, plain.payload) = (nil, Array(#"{"orderID":"42"}"#.utf8))
        #expect(handled.withLock { $0 } == [plain, plain])
    }

    @Test("An identity is derived from the payload that the handler sees, at every attempt")
    func identity() async throws {
        let bus = bus { $0.payloadSteps = [AffixStep("a")] }
        let ids = Locked<[EventID]>([])
        let options = SubscriptionOptions(
            retry: .fixed(.seconds(1), maximumAttempts: 2),
            identity: .field("orderID")
        )
        bus.subscribe(to: OrderCreated.self, group: "g", options: options) { order, context in
            #expect(order == OrderCreated(orderID: "42"))
            ids.withLock { $0.append(context.id) }
            if context.attempt == 1 { throw RetryLater(after: .seconds(1), countsAsAttempt: true) }
        }
        try await bus.withRunning {
            try await bus.publish(OrderCreated(orderID: "42"))
            try await broker.settled()
        }
        #expect(ids.withLock { $0 } == ["42", "42"])
    }

    @Test(
        "An outage while the identity is derived defers the event, and its duplicate is suppressed",
        arguments: [false, true]
    )
    func identityInOutage(byKey: Bool) async throws {
        let step = RestlessStep()
        let bus = bus { $0.payloadSteps = [step] }
        let handled = Locked<[String]>([])
        let options = SubscriptionOptions(
            retry: .never,
            ordering: byKey ? .byPartitionKey : .none,
            inbox: broker.makeInbox(),
            identity: .field("orderID")
        )
        bus.subscribe(to: OrderCreated.self, group: "g", options: options) { order, context in
            handled.withLock { $0.append("\(context.id)/\(context.attempt)") }
        }
        try await bus.withRunning {
            for _ in 0..<3 { try await bus.publish(OrderCreated(orderID: "42")) }
            try await broker.settled()
            #expect(handled.withLock { $0 } == ["42/1"])
            #expect(try await bus.deadLetters(of: "g").count() == 0)
        }
    }

    @Test("An identity that a failing step prevents makes a dead letter at once, as the payload itself would")
    func identityOfUndecodable() async throws {
        let step = RestlessStep(error: Broken())
        let bus = bus { $0.payloadSteps = [step] }
        let options = SubscriptionOptions(retry: .never, identity: .field("orderID"))
        bus.subscribe(to: OrderCreated.self, group: "g", options: options) { _, _ in
            Issue.record("the event was handled under its own id")
        }
        try await bus.withRunning {
            try await bus.publish(OrderCreated(orderID: "42"))
            try await broker.settled()
            #expect(try await bus.deadLetters(of: "g").entries().map(\.failure.reason) == [.undecodable])
        }
    }

    @Test("A derived identity is refused beside a step or a claim check that needs the publisher's id")
    func bindingStep() async throws {
        struct BindingStep: PayloadStep {
            let contentEncoding = "bound"
            let bindsIdentity = true
            func encode(_ envelope: inout Envelope) throws -> Bool { true }
            func decode(_ envelope: inout Envelope) throws {}
        }
        let store = InMemoryClaimCheckStore()
        for (bus, name) in [
            (bus { $0.additionalPayloadSteps = [BindingStep()] }, "\"bound\""),
            (bus { $0.claimCheck = ClaimCheck(store: store) }, "claim check"),
        ] {
            let subscription = bus.subscribe(to: "order.#", group: "g", options: .init(identity: .payload)) { _, _ in }
            let error = await #expect(throws: EventBusError.self) { try await subscription.attached() }
            #expect(error?.code == .invalidConfiguration)
            #expect(error?.message.contains(name) == true)
        }
    }

    @Test("The steps of one publish replace those of the bus")
    func perPublish() throws {
        let bus = bus { $0.payloadSteps = [AffixStep("a")] }
        #expect(
            try bus.envelope(for: OrderCreated(orderID: "1"), options: .init(payloadSteps: [])).contentEncoding == nil
        )
        let steps = [AffixStep("b")]
        let envelope = try bus.envelope(for: OrderCreated(orderID: "1"), options: .init(payloadSteps: steps))
        #expect(envelope.contentEncoding == "b")
    }

    @Test("A subscription by pattern receives an unknown encoding as it arrived, even beside a known one")
    func unknown() async throws {
        let bus = bus { $0.payloadSteps = [AffixStep("a")] }
        let handled = Locked<[Envelope]>([])
        bus.subscribe(to: "order.#", group: "pattern") { event, _ in handled.withLock { $0.append(event.envelope) } }
        let sent = Envelope(topic: OrderCreated.topic, payload: Array("a:x".utf8), contentEncoding: "br, a")
        try await bus.withRunning {
            try await bus.publish(sent)
            try await broker.settled()
        }
        #expect(handled.withLock { $0 } == [sent])
    }

    @Test(
        "Lists of encodings are read without regard to case and spaces, and identity counts as none",
        arguments: ["A,b", " a ,\tB ", "identity, a, ,b,", "IDENTITY,a,b"]
    )
    func lists(_ contentEncoding: String) async throws {
        let bus = bus { $0.additionalPayloadSteps = [AffixStep("a"), AffixStep("b")] }
        let handled = Locked(0)
        bus.subscribe(to: OrderCreated.self, group: "typed") { _ in handled.withLock { $0 += 1 } }
        try await bus.withRunning {
            try await bus.publish(
                Envelope(
                    topic: OrderCreated.topic,
                    payload: Array(#"b:a:{"orderID":"1"}"#.utf8),
                    contentEncoding: contentEncoding
                )
            )
            try await broker.settled()
        }
        #expect(handled.withLock { $0 } == 1)
    }

    @Test("An event that names a step more often than there are steps is refused before any work")
    func bounded() async throws {
        let bus = bus { $0.payloadSteps = [AffixStep("a")] }
        bus.subscribe(to: OrderCreated.self, group: "typed") { _ in Issue.record("it was handled") }
        try await bus.withRunning {
            let encoding = Array(repeating: "a", count: 50).joined(separator: ",")
            try await bus.publish(Envelope(topic: OrderCreated.topic, payload: [], contentEncoding: encoding))
            try await broker.settled()
            let letter = try #require(try await bus.deadLetters(of: "typed").entries().first)
            #expect(letter.failure.reason == .undecodable)
            #expect(letter.failure.message.contains("50 content encodings"))
        }
    }

    @Test("An event without a required encoding is dead-lettered, but additional steps require nothing")
    func required() async throws {
        let strict = bus { $0.payloadSteps = [AffixStep("a", isRequired: true)] }
        strict.subscribe(to: OrderCreated.self, group: "strict") { _ in Issue.record("it was handled") }
        let lenient = bus { $0.additionalPayloadSteps = [AffixStep("a", isRequired: true)] }
        let handled = Locked(0)
        lenient.subscribe(to: OrderCreated.self, group: "lenient") { _ in handled.withLock { $0 += 1 } }
        try await strict.withRunning {
            try await lenient.withRunning {
                try await lenient.publish(OrderCreated(orderID: "1"))
                try await broker.settled()
                let letter = try #require(try await strict.deadLetters(of: "strict").entries().first)
                #expect(letter.failure.message.contains(#"does not have the content encoding "a""#))
                #expect(handled.withLock { $0 } == 1)
            }
        }
    }

    @Test("An outage in a step defers the event without an attempt")
    func outage() async throws {
        let step = FailingStep()
        let bus = bus { $0.payloadSteps = [step] }
        let attempts = Locked<[Int]>([])
        bus.subscribe(to: OrderCreated.self, group: "typed", retry: .never) { _, context in
            attempts.withLock { $0.append(context.attempt) }
        }
        try await bus.withRunning {
            try await bus.publish(OrderCreated(orderID: "1"))
            try await broker.settled()
            #expect(attempts.withLock { $0 } == [1])
            #expect(step.calls.withLock { $0 } == 3)
            #expect(try await bus.deadLetters(of: "typed").count() == 0)
        }
    }

    @Test("The identity that a handler's event derives, and its digest in an inbox, do not depend on random encodings")
    func derived() async throws {
        let bus = bus { $0.payloadSteps = [RandomStep()] }
        let published = Locked<[Envelope]>([])
        let keys = Locked<[InboxKey]>([])
        bus.subscribe(to: OrderCreated.self, group: "confirming") { order, context in
            let envelope = try bus.envelope(for: OrderConfirmed(orderID: order.orderID))
            published.withLock { $0.append(envelope) }
            keys.withLock { $0.append(context.inboxKey) }
            if context.attempt == 1 { throw Broken() }
        }
        let options = PublishOptions(id: "order-1")
        try await bus.withRunning {
            try await bus.publish(OrderCreated(orderID: "1"), options: options)
            try await bus.publish(OrderCreated(orderID: "1"), options: options)
            try await broker.settled()
        }
        #expect(Set(published.withLock { $0.map(\.id) }).count == 1)
        #expect(Set(published.withLock { $0.map(\.payload) }).count > 1)
        #expect(Set(keys.withLock { $0.map(\.payloadDigest) }).count == 1)
    }

    @Test("An error of a step reaches the publisher, and the others are wrapped with its name")
    func encodingErrors() throws {
        let bus = bus { $0.payloadSteps = [FailingStep(encodingError: EventBusError(.tooLarge, "too large"))] }
        #expect { try bus.envelope(for: OrderCreated(orderID: "1")) } throws: {
            ($0 as? EventBusError)?.code == .tooLarge
        }
        let other = self.bus { $0.payloadSteps = [FailingStep(encodingError: Broken())] }
        #expect { try other.envelope(for: OrderCreated(orderID: "1")) } throws: { error in
            guard let error = error as? EventBusError else { return false }
            return error.code == .encodingFailed && "\(error)".contains("x-failing") && "\(error)".contains("broken")
        }
    }

    @Test("A step whose name cannot be recorded is refused", arguments: ["", " ", "a,b", "Identity"])
    func invalidName(_ name: String) throws {
        let bus = bus { $0.payloadSteps = [AffixStep(name)] }
        #expect { try bus.envelope(for: OrderCreated(orderID: "1")) } throws: {
            ($0 as? EventBusError)?.code == .invalidConfiguration
        }
    }

    @Test("Dead letters and recorded events are decoded with the steps that they name")
    func tools() async throws {
        let steps = [AffixStep("a")]
        let recorder = EventRecorder(payloadSteps: steps)
        let bus = bus {
            $0.payloadSteps = steps
            $0.record(with: recorder)
        }
        bus.subscribe(to: OrderCreated.self, group: "failing", retry: .never) { _ in throw Broken() }
        bus.subscribe(to: OrderCreated.self, group: "working") { _ in }
        try await bus.withRunning {
            try await bus.publish(OrderCreated(orderID: "7"))
            try await broker.settled()
            let letter = try #require(try await bus.deadLetters(of: "failing").entries().first)
            #expect(letter.envelope.contentEncoding == "a")
            #expect(try letter.decoded(as: OrderCreated.self, payloadSteps: steps).orderID == "7")
            #expect(throws: EventBusError.self) { try letter.decoded(as: OrderCreated.self) }
        }
        #expect(try recorder.published(OrderCreated.self) == [OrderCreated(orderID: "7")])
        #expect(try recorder.handled(OrderCreated.self) == [OrderCreated(orderID: "7")])
    }
}

/// A step that writes its name before the payload.
private struct AffixStep: PayloadStep {
    let contentEncoding: String
    let encodes: Bool
    let isRequired: Bool

    init(_ name: String, encodes: Bool = true, isRequired: Bool = false) {
        self.contentEncoding = name
        self.encodes = encodes
        self.isRequired = isRequired
    }

    func encode(_ envelope: inout Envelope) throws -> Bool {
        if encodes { envelope.payload = Array("\(contentEncoding):".utf8) + envelope.payload }
        return encodes
    }

    func decode(_ envelope: inout Envelope) throws {
        let prefix = Array("\(contentEncoding):".utf8)
        guard envelope.payload.starts(with: prefix) else { throw Broken() }
        envelope.payload.removeFirst(prefix.count)
    }
}

/// A step whose first two decodings find their key store unavailable.
private final class FailingStep: PayloadStep {
    let contentEncoding = "x-failing"
    let encodingError: (any Error)?
    let calls = Locked(0)

    init(encodingError: (any Error)? = nil) { self.encodingError = encodingError }

    func encode(_ envelope: inout Envelope) throws -> Bool {
        if let encodingError { throw encodingError }
        return true
    }

    func decode(_ envelope: inout Envelope) throws {
        let calls = calls.withLock { calls in
            calls += 1
            return calls
        }
        if calls < 3 { throw EventBusError(.unavailable, "the key store does not answer") }
    }
}

/// A step whose encoding is another one each time.
private struct RandomStep: PayloadStep {
    let contentEncoding = "x-random"

    func encode(_ envelope: inout Envelope) throws -> Bool {
        envelope.payload.append(contentsOf: (0..<8).map { _ in UInt8.random(in: .min ... .max) })
        return true
    }

    func decode(_ envelope: inout Envelope) throws { envelope.payload.removeLast(8) }
}

/// A step that fails at the first decoding of every id.
private final class RestlessStep: PayloadStep {
    let contentEncoding = "x-restless"
    private let error: any Error
    private let seen = Locked<Set<EventID>>([])

    init(error: any Error = EventBusError(.unavailable, "the key store is away")) { self.error = error }

    func encode(_ envelope: inout Envelope) throws -> Bool { true }

    func decode(_ envelope: inout Envelope) throws {
        let id = envelope.id
        if seen.withLock({ $0.insert(id).inserted }) { throw error }
    }
}

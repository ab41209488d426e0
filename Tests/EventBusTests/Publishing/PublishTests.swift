import EventBus
import EventBusInMemory
import EventBusTesting
import Testing

@Suite("Publishing", .timeLimit(.minutes(1)))
struct PublishTests {
    @Test("Local listeners receive an event immediately, and one with a delay not at all")
    func localAndDelay() async throws {
        let bus = EventBus(transport: .inMemory(InMemoryBroker(clock: ManualClock())))
        let heard = Locked<[String]>([])
        bus.local.on(OrderCreated.self) { order in heard.withLock { $0.append(order.orderID) } }
        try await bus.withRunning {
            try await bus.publish(OrderCreated(orderID: "later"), options: .init(delay: .seconds(60)))
            let later = [OrderCreated(orderID: "later too")]
            let results = try await bus.publish(contentsOf: later, options: .init(delay: .seconds(60)))
            #expect(try results.map { try $0.get().outcome } == [.scheduled])
            try await bus.publish(OrderCreated(orderID: "now"))
        }
        #expect(heard.withLock { $0 } == ["now"])
    }

    @Test("A publish before the start waits for it")
    func waitsForStart() async throws {
        let bus = EventBus(transport: .inMemory())
        let recorder = EventRecorder()
        bus.subscribe(to: OrderCreated.self, group: "inventory", options: .init(middleware: [recorder])) { _, _ in }
        async let receipt = bus.publish(OrderCreated(orderID: "1"))
        try await bus.withRunning {
            _ = try await recorder.waitForHandled(OrderCreated.self)
        }
        #expect(try await receipt.outcome == .routed)
    }

    @Test("A publish before the start throws at its deadline and on cancellation")
    func deadlineBeforeStart() async throws {
        let clock = ManualClock()
        let bus = EventBus(transport: .inMemory(InMemoryBroker(clock: clock)))
        let early = Task { try await bus.publish(OrderCreated(orderID: "1"), options: .init(deadline: .seconds(5))) }
        try await clock.sleepers(atLeast: 1)
        clock.advance(by: .seconds(5))
        let error = await #expect(throws: EventBusError.self) { try await early.value }
        #expect(error?.code == .timedOut)

        let cancelled = Task { try await bus.publish(OrderCreated(orderID: "2")) }
        cancelled.cancel()
        await #expect(throws: CancellationError.self) { try await cancelled.value }
    }

    @Test("A value that cannot be encoded is refused before anything is sent")
    func encodingFails() async throws {
        struct Endless: Event {
            static let topic: Topic = "endless"
            var value: Double
        }
        let bus = EventBus(transport: .inMemory())
        try await bus.withRunning {
            let error = await #expect(throws: EventBusError.self) { try await bus.publish(Endless(value: .infinity)) }
            #expect(error?.code == .encodingFailed)
            let header = await #expect(throws: EventBusError.self) {
                try await bus.publish(OrderCreated(orderID: "1"), options: .init(headers: ["x-eventbus-attempt": 3]))
            }
            #expect(header?.code == .invalidEnvelope)
        }
    }

    @Test("A batch of envelopes is sent unchanged and in order, and tells for each whether it has a subscriber")
    func envelopes() async throws {
        let recorder = EventRecorder()
        let bus = EventBus(transport: .inMemory())
        let options = SubscriptionOptions(concurrency: 1, middleware: [recorder])
        bus.subscribe(to: OrderCreated.self, group: "inventory", options: options) { _, _ in }
        var envelopes = try (0..<20).map { try bus.envelope(for: OrderCreated(orderID: "\($0)")) }
        envelopes[7] = try bus.envelope(for: OrderConfirmed(orderID: "7"))
        envelopes[8].partitionKey = String(repeating: "x", count: 256)
        let sent = envelopes
        try await bus.withRunning {
            let results = try await bus.publish(contentsOf: sent, options: .init(requiresSubscriber: true))
            #expect(results.count == 20)
            for (index, result) in results.enumerated() {
                switch index {
                case 7, 8:
                    let error = #expect(throws: EventBusError.self) { _ = try result.get() }
                    #expect(error?.code == (index == 7 ? .unroutable : .invalidEnvelope))
                default:
                    #expect(try result.get() == PublishReceipt(id: sent[index].id, outcome: .routed))
                }
            }
            #expect(try await bus.publish(contentsOf: [sent[7]]).first?.get().outcome == .unroutable)
            _ = try await recorder.waitForHandled(OrderCreated.self, count: 18)
            #expect(recorder.settled.map(\.envelope) == sent.enumerated().filter { ![7, 8].contains($0.0) }.map(\.1))
        }
        let error = await #expect(throws: EventBusError.self) { try await bus.publish(contentsOf: sent) }
        #expect(error?.code == .shuttingDown)
    }

    @Test("A batch gives each event its own result, and middleware may refuse some of them")
    func batches() async throws {
        struct Refusing: PublishMiddleware {
            func publish(
                _ event: OutgoingEvent,
                next: PublishNext
            ) async throws -> PublishReceipt {
                if event.envelope.partitionKey == "13" { throw Broken() }
                return try await next(event)
            }
        }
        let recorder = EventRecorder()
        var configuration = EventBusConfiguration()
        configuration.publishMiddleware.append(Refusing())
        configuration.record(with: recorder)
        let bus = EventBus(transport: .inMemory(), configuration: configuration)
        bus.subscribe(to: OrderCreated.self, group: "inventory", options: .init(concurrency: 1)) { _, _ in }
        try await bus.withRunning {
            let orders = (0..<50).map { OrderCreated(orderID: "\($0)") }
            let results = try await bus.publish(contentsOf: orders)
            #expect(results.count == 50)
            #expect(throws: Broken.self) { _ = try results[13].get() }
            for (index, result) in results.enumerated() where index != 13 {
                #expect(try result.get().outcome == .routed)
            }
            let handled = try await recorder.waitForHandled(OrderCreated.self, count: 49)
            #expect(handled == orders.filter { $0.orderID != "13" }, "the order was changed")
        }
    }

    @Test("Local listeners receive an event after the transport has accepted it, and not earlier")
    func localListeners() async throws {
        let bus = EventBus(transport: .inMemory())
        let heard = Locked<[String]>([])
        bus.local.on(OrderCreated.self) { event in heard.withLock { $0.append(event.orderID) } }
        try await bus.withRunning {
            try await bus.publish(OrderCreated(orderID: "1"))
            await #expect(throws: EventBusError.self) {
                try await bus.publish(OrderCreated(orderID: "2"), options: .init(headers: ["": 1]))
            }
            #expect(heard.withLock { $0 } == ["1"])
        }
    }

    @Test("Another codec is selected by its content type, and an unknown type cannot be decoded")
    func codecs() async throws {
        struct Shouting: EventCodec {
            let json = JSONEventCodec()
            var contentType: String { "application/vnd.shouting" }
            func encode<Value: Encodable>(_ value: Value) throws -> [UInt8] { [0x21] + (try json.encode(value)) }
            func decode<Value: Decodable>(_ type: Value.Type, from bytes: [UInt8]) throws -> Value {
                try json.decode(type, from: Array(bytes.dropFirst()))
            }
        }
        let broker = InMemoryBroker()
        var shouting = EventBusConfiguration()
        shouting.codec = Shouting()
        let loud = EventBus(transport: .inMemory(broker), configuration: shouting)
        var both = EventBusConfiguration()
        both.additionalCodecs = [Shouting()]
        let recorder = EventRecorder()
        both.record(with: recorder)
        let listener = EventBus(transport: .inMemory(broker), configuration: both)
        let seen = Locked<[String]>([])
        listener.subscribe(to: OrderCreated.self, group: "g") { event, _ in seen.withLock { $0.append(event.orderID) } }
        try await loud.withRunning {
            try await listener.withRunning {
                try await loud.publish(OrderCreated(orderID: "loud"))
                try await listener.publish(OrderCreated(orderID: "plain"))
                try await loud.publish(
                    Envelope(topic: "order.created", payload: [], contentType: "application/cbor; v=1")
                )
                try await broker.settled()
                #expect(Set(seen.withLock { $0 }) == ["loud", "plain"])
                let letter = try #require(try await listener.deadLetters(of: "g").entries(limit: 1).first)
                #expect(letter.failure.reason == .undecodable)
                #expect(letter.failure.message.contains("application/cbor"))
            }
        }
    }
}

import EventBus
import EventBusInMemory
import EventBusTesting
import Testing

@Suite("Requests", .timeLimit(.minutes(1)))
struct RequestTests {
    @Test("A request gets its reply, in the same chain of causes")
    func reply() async throws {
        let bus = EventBus(transport: .inMemory())
        let chain = Locked<[CorrelationID]>([])
        bus.respond(to: GetQuote.self, group: "pricing") { request, context in
            chain.withLock { $0.append(context.correlationID) }
            return GetQuote.Reply(price: request.sku.count)
        }
        try await bus.withRunning {
            let quote = try await bus.request(
                GetQuote(sku: "abc"),
                timeout: .seconds(5),
                options: .init(correlationID: "checkout-1")
            )
            #expect(quote == GetQuote.Reply(price: 3))
            #expect(chain.withLock { $0 } == ["checkout-1"])
        }
    }

    @Test(
        "A responder's error causes neither a retry nor a dead letter, and its text crosses only if the responder wants it",
        arguments: [nil, false, true] as [Bool?]
    )
    func failure(repliesWithErrorText: Bool?) async throws {
        let broker = InMemoryBroker()
        let bus = EventBus(transport: .inMemory(broker))
        let calls = Locked(0)
        var options = SubscriptionOptions()
        if let repliesWithErrorText { options.repliesWithErrorText = repliesWithErrorText }
        bus.respond(to: GetQuote.self, group: "pricing", options: options) { _, _ in
            calls.withLock { $0 += 1 }
            throw Broken()
        }
        try await bus.withRunning {
            let error = await #expect(throws: EventBusError.self) {
                try await bus.request(GetQuote(sku: "abc"), timeout: .seconds(5))
            }
            #expect(error?.code == .remoteFailure)
            #expect("\(String(describing: error))".contains("broken") == (repliesWithErrorText == true))
            try await broker.settled()
            #expect(calls.withLock { $0 } == 1)
            #expect(try await bus.deadLetters(of: "pricing").count() == 0)
        }
    }

    @Test("A request that was published as an event is retried, and finally becomes a dead letter")
    func published() async throws {
        let broker = InMemoryBroker(clock: ManualClock())
        let bus = EventBus(transport: .inMemory(broker))
        let attempts = Locked<[Int]>([])
        let options = SubscriptionOptions(retry: .fixed(.seconds(1), maximumAttempts: 3))
        bus.respond(to: GetQuote.self, group: "pricing", options: options) { _, context in
            attempts.withLock { $0.append(context.attempt) }
            throw Broken()
        }
        try await bus.withRunning {
            try await bus.publish(GetQuote(sku: "abc"))
            try await broker.settled()
            #expect(attempts.withLock { $0 } == [1, 2, 3])
            #expect(try await bus.deadLetters(of: "pricing").count() == 1)
        }
    }

    @Test("A request expires by the clock of the bus", arguments: [(0, true), (60, true), (75, false)])
    func expiry(seconds: Int, isHandled: Bool) async throws {
        let clock = ManualClock()
        let broker = InMemoryBroker(clock: clock)
        let bus = EventBus(transport: .inMemory(broker))
        let handled = Signal()
        let subscription = bus.respond(to: GetQuote.self, group: "pricing") { _, _ in
            handled.raise()
            return GetQuote.Reply(price: 1)
        }
        await subscription.pause()
        try await bus.withRunning {
            let quote = Task { try await bus.request(GetQuote(sku: "abc"), timeout: .seconds(10)) }
            try await clock.sleeper(dueBy: clock.now.advanced(by: .seconds(10)))
            try await eventually("the request waits") { broker.queues.map(\.ready) == [1] }
            // Clocks of hosts may differ by a minute.
            clock.advance(by: .seconds(seconds))
            subscription.resume()
            try await broker.settled()
            _ = try? await quote.value
            #expect(handled.isRaised == isHandled)
        }
    }

    @Test("A manual clock that is ahead of the system's does not make a request expire")
    func clockAhead() async throws {
        let clock = ManualClock()
        let bus = EventBus(transport: .inMemory(InMemoryBroker(clock: clock)))
        bus.respond(to: GetQuote.self, group: "pricing") { _, _ in GetQuote.Reply(price: 1) }
        try await bus.withRunning {
            clock.advance(by: .seconds(3600))
            let quote = try await bus.request(GetQuote(sku: "abc"), timeout: .seconds(10))
            #expect(quote == GetQuote.Reply(price: 1))
        }
    }

    @Test("A request whose responder is cancelled by the end of its bus is answered by another")
    func cancelled() async throws {
        let broker = InMemoryBroker()
        var configuration = EventBusConfiguration()
        configuration.shutdownTimeout = .zero
        let first = EventBus(transport: .inMemory(broker), configuration: configuration)
        let began = Signal()
        first.respond(to: GetQuote.self, group: "pricing") { _, _ in
            began.raise()
            try await Signal().wait()
            return GetQuote.Reply(price: 1)
        }
        let second = EventBus(transport: .inMemory(broker))
        second.respond(to: GetQuote.self, group: "pricing") { _, _ in GetQuote.Reply(price: 2) }
        let requester = EventBus(transport: .inMemory(broker))
        try await requester.withRunning {
            let quote = try await first.withRunning {
                let quote = Task { try await requester.request(GetQuote(sku: "abc"), timeout: .seconds(30)) }
                try await began.wait()
                return quote
            }
            let price = try await second.withRunning { try await quote.value.price }
            #expect(price == 2)
        }
    }

    @Test("A request whose responder lost its connection is answered by the next responder")
    func revoked() async throws {
        let transport = InMemoryTransport()
        let bus = EventBus(transport: transport)
        let began = Signal()
        bus.respond(to: GetQuote.self, group: "pricing") { _, _ in
            if began.isRaised { return GetQuote.Reply(price: 2) }
            began.raise()
            try await Signal().wait()
            return GetQuote.Reply(price: 1)
        }
        try await bus.withRunning {
            let quote = Task { try await bus.request(GetQuote(sku: "abc"), timeout: .seconds(30)) }
            try await began.wait()
            transport.loseConnection()
            #expect(try await quote.value.price == 2)
        }
    }

    @Test("The requester of a reply that is too large gets an error immediately")
    func tooLarge() async throws {
        let broker = InMemoryBroker(configuration: .init(maximumBodySize: 20), clock: ManualClock())
        let bus = EventBus(transport: .inMemory(broker))
        bus.respond(to: GetQuote.self, group: "pricing") { _, _ in GetQuote.Reply(price: 1_000_000_000_000) }
        try await bus.withRunning {
            let error = await #expect(throws: EventBusError.self) {
                try await bus.request(GetQuote(sku: "a"), timeout: .seconds(5))
            }
            #expect(error?.code == .remoteFailure)
        }
    }

    @Test("A request with any expiry in the future is answered", arguments: [Int64.max, Int64.max - 60_000])
    func farExpiry(_ expiry: Int64) async throws {
        let transport = InMemoryTransport()
        let bus = EventBus(transport: transport)
        bus.respond(to: GetQuote.self, group: "pricing") { _, _ in GetQuote.Reply(price: 1) }
        try await bus.withRunning {
            var request = try bus.envelope(for: GetQuote(sku: "abc"))
            request.headers["request-expires"] = .int(expiry)
            let reply = try await transport.request(request, deadline: bus.clock.now.advanced(by: .seconds(30)))
            #expect(String(decoding: reply.payload, as: UTF8.self) == #"{"price":1}"#)
        }
    }
}

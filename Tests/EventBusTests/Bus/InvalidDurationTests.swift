import EventBus
import EventBusInMemory
import EventBusTesting
import Testing

@Suite("Invalid durations", .timeLimit(.minutes(1)))
struct InvalidDurationTests {
    @Test(
        "A handler's limit that leaves no time is refused",
        arguments: [Duration.zero, .seconds(-1), .nanoseconds(-2)]
    )
    func noTime(limit: Duration) async throws {
        let bus = EventBus(transport: .inMemory())
        bus.subscribe(to: OrderCreated.self, group: "g", options: .init(handlerTimeout: limit)) { _, _ in }
        let error = await #expect(throws: EventBusError.self) { try await bus.withRunning {} }
        #expect(error?.code == .invalidConfiguration)
    }

    @Test("A limit of the bus that leaves no time is refused", arguments: [Duration.zero, .seconds(-1)])
    func noTimeForBus(limit: Duration) async throws {
        var publishing = EventBusConfiguration()
        publishing.publishTimeout = limit
        var fetching = EventBusConfiguration()
        fetching.claimCheck = ClaimCheck(store: InMemoryClaimCheckStore(), timeout: limit)
        for (configuration, name) in [(publishing, "publishTimeout"), (fetching, "claimCheck.timeout")] {
            let bus = EventBus(transport: .inMemory(), configuration: configuration)
            let error = await #expect(throws: EventBusError.self) { try await bus.withRunning {} }
            #expect(error?.code == .invalidConfiguration)
            #expect(error?.message.contains(name) == true)
        }
    }

    @Test(
        "Limits far in the future are no limits",
        arguments: [Duration.seconds(9_223_372_036), .seconds(9_223_372_037), .seconds(Int64.max)]
    )
    func farLimits(limit: Duration) async throws {
        var configuration = EventBusConfiguration()
        configuration.publishTimeout = limit
        configuration.shutdownTimeout = limit
        configuration.cancellationGrace = limit
        let bus = EventBus(transport: .inMemory(), configuration: configuration)
        bus.respond(to: GetQuote.self, group: "g", options: .init(handlerTimeout: limit)) { _, _ in
            // Long enough to detect a wait that ends immediately.
            for _ in 0..<1000 { await Task.yield() }
            try Task.checkCancellation()
            return .init(price: 1)
        }
        let early = Task { try await bus.request(GetQuote(sku: "early"), timeout: limit) }
        try await bus.withRunning {
            let reply = try await bus.request(GetQuote(sku: "a"), timeout: limit)
            #expect(reply.price == 1)
            let earlyReply = try await early.value
            #expect(earlyReply.price == 1)
        }
    }
}

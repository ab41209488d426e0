import EventBus
import EventBusInMemory
import EventBusTesting
import Testing

@Suite("The deadline of a publish with middleware that waits", .timeLimit(.minutes(1)))
struct PublishDeadlineTests {
    private struct Step: PublishMiddleware {
        let body: @Sendable (OutgoingEvent, PublishNext) async throws -> PublishReceipt

        func publish(_ event: OutgoingEvent, next: PublishNext) async throws -> PublishReceipt {
            try await body(event, next)
        }
    }

    private let clock = ManualClock()
    private let broker: InMemoryBroker
    /// A signal that ends every wait of a step at the end of its test.
    private let release = Signal()
    private let handled = Notes<String>()

    init() {
        broker = InMemoryBroker(clock: clock)
    }

    private func makeBus(_ step: Step) -> EventBus {
        var configuration = EventBusConfiguration()
        configuration.publishMiddleware = [step]
        let bus = EventBus(transport: .inMemory(broker), configuration: configuration)
        bus.subscribe(to: OrderCreated.self, group: "g") { [handled] order in handled.add(order.orderID) }
        return bus
    }

    /// Waits until `release` is raised, and ignores cancellation.
    private static func hang(until release: Signal) async { await Task { try? await release.wait() }.value }

    /// Awaits a result while the clock advances, for a few real seconds at most.
    private func result<Value: Sendable>(
        of task: Task<Value, any Error>
    ) async throws -> Result<Value, any Error> {
        let result = OneShot<Result<Value, any Error>>()
        let done = Signal()
        Task {
            result.resolve(await task.result)
            done.raise()
        }
        try await eventually("the deadline", within: .seconds(10)) {
            if !done.isRaised, clock.now.offset < .seconds(30) { clock.advance(by: .milliseconds(500)) }
            return done.isRaised
        }
        return await result.wait(onCancel: {})
    }

    @Test("An event that a step never lets through is not sent, and its publish times out", arguments: [false, true])
    func heldBack(ignoresCancellation: Bool) async throws {
        defer { release.raise() }
        let entered = Signal()
        let bus = makeBus(
            Step { [release] event, next in
                entered.raise()
                if ignoresCancellation { await Self.hang(until: release) } else { try await release.wait() }
                return try await next(event)
            }
        )
        try await bus.withRunning {
            let publishing = Task {
                try await bus.publish(OrderCreated(orderID: "1"), options: .init(deadline: .seconds(5)))
            }
            try await entered.wait()
            let result = try await result(of: publishing)
            #expect(throws: EventBusError.self) { try result.get() }
            if case .failure(let error as EventBusError) = result { #expect(error.code == .timedOut) }
            #expect(clock.now.offset >= .seconds(5) && clock.now.offset < .seconds(8))
            // The step lets it through too late.
            release.raise()
            try await broker.settled()
            #expect(handled.values.isEmpty)
        }
    }

    @Test(
        "A step that hangs after the broker has accepted the event does not hide the receipt",
        arguments: [false, true]
    )
    func hangingAfterwards(inBatch: Bool) async throws {
        defer { release.raise() }
        let entered = Signal()
        let bus = makeBus(
            Step { [release] event, next in
                let receipt = try await next(event)
                if event.envelope.partitionKey == "2" {
                    entered.raise()
                    await Self.hang(until: release)
                }
                return receipt
            }
        )
        try await bus.withRunning {
            let publishing = Task { () -> [PublishOutcome] in
                let options = PublishOptions(deadline: .seconds(5))
                guard inBatch else {
                    return [try await bus.publish(OrderCreated(orderID: "2"), options: options).outcome]
                }
                let orders = (1...3).map { OrderCreated(orderID: "\($0)") }
                return try await bus.publish(contentsOf: orders, options: options).map { try $0.get().outcome }
            }
            try await entered.wait()
            let result = try await result(of: publishing)
            let outcomes = try result.get()
            #expect(outcomes == (inBatch ? [.routed, .routed, .routed] : [.routed]))
            #expect(clock.now.offset < .seconds(8))
            release.raise()
            try await broker.settled()
            #expect(handled.values.count == (inBatch ? 3 : 1))
        }
    }

    @Test("A step that waits for its cancellation after the broker has accepted the event is cancelled in a batch")
    func waitingAfterwards() async throws {
        defer { release.raise() }
        let (entered, cancelled) = (Signal(), Signal())
        let bus = makeBus(
            Step { event, next in
                let receipt = try await next(event)
                entered.raise()
                do { try await Signal().wait() } catch { cancelled.raise() }
                return receipt
            }
        )
        try await bus.withRunning {
            let publishing = Task { () -> [PublishOutcome] in
                let options = PublishOptions(deadline: .seconds(5))
                return try await bus.publish(contentsOf: [OrderCreated(orderID: "1")], options: options)
                    .map { try $0.get().outcome }
            }
            try await entered.wait()
            let result = try await result(of: publishing)
            let outcomes = try result.get()
            #expect(outcomes == [.routed])
            try await cancelled.wait()
        }
    }

    @Test("A request ends at its deadline, whether a step holds it or its reply back", arguments: [false, true])
    func request(afterwards: Bool) async throws {
        defer { release.raise() }
        let entered = Signal()
        let bus = makeBus(
            Step { [release] event, next in
                let receipt = afterwards ? try await next(event) : nil
                entered.raise()
                await Self.hang(until: release)
                if let receipt { return receipt }
                return try await next(event)
            }
        )
        bus.respond(to: GetQuote.self, group: "pricing") { _, _ in GetQuote.Reply(price: 1) }
        try await bus.withRunning {
            let requesting = Task { try await bus.request(GetQuote(sku: "a"), timeout: .seconds(5)).price }
            try await entered.wait()
            let result = try await result(of: requesting)
            if afterwards {
                let price = try result.get()
                #expect(price == 1)
            } else {
                #expect(throws: EventBusError.self) { try result.get() }
                if case .failure(let error as EventBusError) = result { #expect(error.code == .timedOut) }
            }
            #expect(clock.now.offset < .seconds(8))
            release.raise()
            try await broker.settled()
        }
    }

    @Test("A publish that is cancelled before its step lets it through throws a cancellation, and nothing is sent")
    func cancelled() async throws {
        defer { release.raise() }
        let entered = Signal()
        let bus = makeBus(
            Step { event, next in
                entered.raise()
                try await Signal().wait()
                return try await next(event)
            }
        )
        try await bus.withRunning {
            let publishing = Task { try await bus.publish(OrderCreated(orderID: "1")) }
            try await entered.wait()
            publishing.cancel()
            await #expect(throws: CancellationError.self) { try await publishing.value }
            try await broker.settled()
            #expect(handled.values.isEmpty)
        }
    }
}

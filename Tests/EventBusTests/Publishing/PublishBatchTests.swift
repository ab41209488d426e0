import EventBus
import EventBusInMemory
import EventBusTesting
import Testing

@Suite("Batches and middleware", .timeLimit(.minutes(1)))
struct PublishBatchTests {
    private struct Step: PublishMiddleware {
        let body: @Sendable (OutgoingEvent, PublishNext) async throws -> PublishReceipt

        func publish(
            _ event: OutgoingEvent,
            next: PublishNext
        ) async throws -> PublishReceipt {
            try await body(event, next)
        }
    }

    private func makeBus(clock: ManualClock = ManualClock(), _ step: Step) -> EventBus {
        var configuration = EventBusConfiguration()
        configuration.publishMiddleware = [step]
        return EventBus(transport: .inMemory(InMemoryBroker(clock: clock)), configuration: configuration)
    }

    @Test("A delay that middleware sets for one event of a batch applies to that event alone")
    func delayInBatch() async throws {
        let bus = makeBus(
            Step { event, next in
                var event = event
                if event.envelope.partitionKey == "2" { event.delay = .seconds(60) }
                return try await next(event)
            }
        )
        bus.subscribe(to: OrderCreated.self, group: "g") { _, _ in }
        try await bus.withRunning {
            let results = try await bus.publish(contentsOf: (1...4).map { OrderCreated(orderID: "\($0)") })
            let outcomes = try results.map { try $0.get().outcome }
            #expect(outcomes == [.routed, .scheduled, .routed, .routed])
        }
    }

    @Test("A step that holds an event back is cancelled at the deadline, and the batch gets its outcomes")
    func heldBack() async throws {
        let clock = ManualClock()
        let isHolding = Signal()
        let bus = makeBus(
            clock: clock,
            Step { event, next in
                if event.envelope.partitionKey == "2" {
                    isHolding.raise()
                    try await Signal().wait()
                }
                return try await next(event)
            }
        )
        bus.subscribe(to: OrderCreated.self, group: "g") { _, _ in }
        try await bus.withRunning {
            let orders = (1...3).map { OrderCreated(orderID: "\($0)") }
            let publishing = Task { try await bus.publish(contentsOf: orders, options: .init(deadline: .seconds(5))) }
            try await isHolding.wait()
            try await clock.sleepers(atLeast: 1)
            clock.advance(by: .seconds(5))
            let results = try await publishing.value
            #expect(try results[0].get().outcome == .routed)
            #expect(throws: (any Error).self) { try results[1].get() }
            #expect(throws: EventBusError.self) { try results[2].get() }
        }
    }

    @Test("The events of a batch pass through the middleware in order")
    func orderInBatch() async throws {
        let seen = Locked<[String]>([])
        let bus = makeBus(
            Step { event, next in
                let key = event.envelope.partitionKey ?? ""
                // The first ones take longer.
                if key.count == 1 { for _ in 0..<100 { await Task.yield() } }
                seen.withLock { $0.append(key) }
                return try await next(event)
            }
        )
        try await bus.withRunning {
            let orders = (0..<500).map { OrderCreated(orderID: "\($0)") }
            for result in try await bus.publish(contentsOf: orders) { _ = try result.get() }
            #expect(seen.withLock { $0 } == orders.map(\.orderID))
        }
    }

    @Test("Middleware that lets one event through at a time makes a batch fail at its deadline, and not hang")
    func narrowMiddleware() async throws {
        let clock = ManualClock()
        let entered = Signal()
        let gate = NarrowGate(entered: entered)
        let bus = makeBus(
            clock: clock,
            Step { event, next in
                let mine = try await gate.enter()
                defer { gate.leave(mine) }
                return try await next(event)
            }
        )
        bus.subscribe(to: OrderCreated.self, group: "g", options: .init(handlerTimeout: nil)) { _, _ in }
        try await bus.withRunning {
            let publishing = Task { try await bus.publish(contentsOf: (0..<3).map { OrderCreated(orderID: "\($0)") }) }
            try await entered.wait()
            try await eventually("the deadline") {
                clock.advance(by: .seconds(1))
                return clock.now.offset >= .seconds(12)
            }
            let real = AnyClock.continuous
            let results = try await withDeadline(real.now.advanced(by: .seconds(5)), clock: real) {
                try await publishing.value
            }
            let outcomes = try #require(results, "the batch hangs")
            let first = try outcomes[0].get().outcome
            #expect(first == .routed)
            #expect(
                outcomes.dropFirst().allSatisfy { result in
                    guard case .failure(let error as EventBusError) = result else { return false }
                    return error.code == .timedOut
                }
            )
        }
    }
}

/// A gate that admits one at a time.
private final class NarrowGate: Sendable {
    private let holder = Locked<Signal?>(nil)
    private let entered: Signal

    init(entered: Signal) {
        self.entered = entered
    }

    func enter() async throws -> Signal {
        let mine = Signal()
        while true {
            let other = holder.withLock { holder in
                if let other = holder { return Signal?.some(other) }
                holder = mine
                return nil
            }
            guard let other else { return mine }
            entered.raise()
            try await other.wait()
        }
    }

    func leave(_ mine: Signal) {
        holder.withLock { $0 = nil }
        mine.raise()
    }
}

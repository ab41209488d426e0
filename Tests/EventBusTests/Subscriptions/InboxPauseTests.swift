import EventBus
import EventBusInMemory
import EventBusTesting
import InMemoryLogging
import Logging
import Testing

@Suite("Pause of a subscription whose inbox is unreachable", .timeLimit(.minutes(1)))
struct InboxPauseTests {
    private let clock = ManualClock()
    private let broker: InMemoryBroker

    init() {
        broker = InMemoryBroker(clock: clock)
    }

    private final class Handled: Sendable {
        private let state = Locked<[(orderID: String, attempt: Int)]>([])

        var orderIDs: [String] { state.withLock { $0.map(\.orderID) } }
        var attempts: Set<Int> { state.withLock { Set($0.map(\.attempt)) } }

        func note(_ order: OrderCreated, _ context: EventContext) {
            state.withLock { $0.append((order.orderID, context.attempt)) }
        }
    }

    private func subscribe(_ bus: EventBus, _ options: SubscriptionOptions) -> Handled {
        let handled = Handled()
        bus.subscribe(to: OrderCreated.self, group: "g", name: "orders", options: options) { order, context in
            handled.note(order, context)
        }
        return handled
    }

    @Test(
        "Every event of an outage is handled once, as attempt 1, and one log line tells of the pause and one of its end",
        arguments: [SubscriptionOptions.Ordering.none, .byPartitionKey]
    )
    func outage(ordering: SubscriptionOptions.Ordering) async throws {
        let inbox = ScriptedInbox(clock: clock)
        inbox.fail(begins: 30)
        let handler = InMemoryLogHandler()
        let bus = EventBus(transport: .inMemory(broker), logger: Logger(label: "test") { _ in handler })
        let handled = subscribe(bus, SubscriptionOptions(retry: .never, ordering: ordering, inbox: inbox))
        try await bus.withRunning {
            for number in 0..<100 { try await bus.publish(OrderCreated(orderID: "\(number)")) }
            try await broker.settled()
            #expect(Set(handled.orderIDs).count == 100)
            #expect(handled.orderIDs.count == 100)
            #expect(handled.attempts == [1])
            #expect(try await bus.deadLetters(of: "g").count() == 0)
            #expect(bus.health().isReady)
            // Those that asked when the outage began, the probes, and each event once.
            #expect(inbox.counts.begins == 130)
        }
        let messages = handler.entries.filter { $0.metadata["event-id"] == nil }.map { "\($0.level): \($0.message)" }
        #expect(messages.count { $0.hasPrefix("warning: the subscription pauses") } == 1)
        #expect(messages.count { $0.hasPrefix("notice: subscription resumed") } == 1)
        #expect(clock.now.offset >= .seconds(10))
    }

    @Test("An inbox that never answers the question about an event that does not exist blocks no worker and no pause")
    func silentCheck() async throws {
        let mayAnswer = Signal()
        defer { mayAnswer.raise() }
        let asked = Signal()
        let inbox = ScriptedInbox(clock: clock) { call, key in
            guard call == .begin, key.topic == "eventbus.inbox-check" else { return }
            asked.raise()
            await withoutCancellation { try? await mayAnswer.wait() }
        }
        inbox.fail(begins: 1)
        let bus = EventBus(transport: .inMemory(broker))
        let handled = subscribe(bus, SubscriptionOptions(concurrency: 1, inbox: inbox))
        try await bus.withRunning {
            for number in 0..<3 { try await bus.publish(OrderCreated(orderID: "\(number)")) }
            try await asked.wait()
            try await eventually("the events are handled", within: .seconds(15)) {
                if handled.orderIDs.count == 3 { return true }
                clock.advance(by: .milliseconds(500))
                return false
            }
            mayAnswer.raise()
        }
    }

    @Test(
        "A stream of events during an outage is handled completely, each event once and as attempt 1",
        arguments: [SubscriptionOptions.Ordering.none, .byPartitionKey]
    )
    func stream(ordering: SubscriptionOptions.Ordering) async throws {
        let inbox = ScriptedInbox(clock: clock) { [clock] call, _ in
            guard call == .begin, (Duration.seconds(1)..<Duration.seconds(6)).contains(clock.now.offset) else { return }
            throw EventBusError(.unavailable, "the store is away")
        }
        let bus = EventBus(transport: .inMemory(broker))
        let handled = subscribe(bus, SubscriptionOptions(ordering: ordering, inbox: inbox))
        try await bus.withRunning {
            for number in 0..<1000 {
                try await bus.publish(OrderCreated(orderID: "\(number)"))
                clock.advance(by: .milliseconds(10))
            }
            try await broker.settled()
            #expect(handled.orderIDs.count == 1000)
            #expect(Set(handled.orderIDs).count == 1000)
            #expect(handled.attempts == [1])
            #expect(try await bus.deadLetters(of: "g").count() == 0)
            #expect(bus.health().isReady)
        }
    }

    @Test("During a pause health names the cause, one delivery at a time asks, and none is returned")
    func probing() async throws {
        let inbox = ScriptedInbox(clock: clock)
        inbox.fail(begins: .max)
        let bus = EventBus(transport: .inMemory(broker))
        let handled = subscribe(bus, SubscriptionOptions(concurrency: 4, inbox: inbox))
        try await bus.withRunning {
            for number in 0..<10 { try await bus.publish(OrderCreated(orderID: "\(number)")) }
            try await eventually("the pause") { !bus.health().isReady }
            #expect(bus.health().reason.contains("subscription.g.orders: paused"))
            #expect(bus.health().reason.contains("StoreError"))
            #expect(bus.health().isLive)
            // Those that had started have asked when the first probe is due.
            try await eventually("everything is back") {
                bus.health().components.contains { $0.details["running"] == 0 && $0.details["waiting"] == 4 }
            }
            var begins = inbox.counts.begins
            for _ in 0..<5 {
                try await clock.sleeper(dueBy: clock.now.advanced(by: .seconds(5)))
                clock.advance(by: .seconds(5))
                try await eventually("a probe") { inbox.counts.begins > begins }
                try await eventually("its end") {
                    bus.health().components.contains { $0.details["running"] == 0 && $0.details["waiting"] == 4 }
                }
                begins += 1
                #expect(inbox.counts.begins == begins)
            }
            #expect(broker.queues.first?.unsettled == 4)
            #expect(broker.queues.first?.delayed == 0)
            inbox.fail()
            try await broker.settled()
            #expect(handled.orderIDs.count == 10)
            #expect(bus.health().isReady)
        }
    }

    @Test(
        "A pause blocks no shutdown: the events are in their queue again",
        arguments: [SubscriptionOptions.Ordering.none, .byPartitionKey]
    )
    func shutdown(ordering: SubscriptionOptions.Ordering) async throws {
        let inbox = ScriptedInbox(clock: clock)
        inbox.fail(begins: .max)
        let bus = EventBus(transport: .inMemory(broker))
        let handled = subscribe(bus, SubscriptionOptions(ordering: ordering, inbox: inbox))
        try await bus.withRunning {
            for number in 0..<10 { try await bus.publish(OrderCreated(orderID: "\(number)")) }
            try await eventually("the pause") { !bus.health().isReady }
        }
        #expect(handled.orderIDs.isEmpty)
        #expect(broker.queues.first?.ready == 10)
        #expect(broker.queues.first?.delayed == 0)
    }

    @Test(
        "In a pause longer than a delivery may be held everything goes back to the broker, and nothing is given up",
        arguments: [SubscriptionOptions.Ordering.none, .byPartitionKey]
    )
    func longOutage(ordering: SubscriptionOptions.Ordering) async throws {
        let inbox = ScriptedInbox(clock: clock)
        inbox.fail(begins: 800)
        let bus = EventBus(transport: .inMemory(broker))
        let options = SubscriptionOptions(concurrency: 4, retry: .never, ordering: ordering, inbox: inbox)
        let handled = subscribe(bus, options)
        try await bus.withRunning {
            for number in 0..<20 { try await bus.publish(OrderCreated(orderID: "\(number)")) }
            try await broker.settled()
            #expect(clock.now.offset > .seconds(3600))
            #expect(handled.orderIDs.count == 20)
            #expect(Set(handled.orderIDs).count == 20)
            #expect(handled.attempts == [1])
            #expect(try await bus.deadLetters(of: "g").count() == 0)
        }
    }

    @Test("The handler's time limit is suspended while its subscription is paused")
    func noTimeout() async throws {
        let inbox = ScriptedInbox(clock: clock)
        inbox.fail(begins: 50)
        let bus = EventBus(transport: .inMemory(broker))
        let options = SubscriptionOptions(retry: .never, handlerTimeout: .seconds(1), inbox: inbox)
        let handled = subscribe(bus, options)
        try await bus.withRunning {
            for number in 0..<5 { try await bus.publish(OrderCreated(orderID: "\(number)")) }
            try await broker.settled()
            #expect(handled.orderIDs.count == 5)
            #expect(try await bus.deadLetters(of: "g").count() == 0)
        }
    }

    @Test("An event that holds its key for a retry keeps its attempts through a pause")
    func retryWithinPause() async throws {
        let inbox = ScriptedInbox(clock: clock)
        let bus = EventBus(transport: .inMemory(broker))
        let attempts = Locked<[Int]>([])
        let options = SubscriptionOptions(
            retry: .fixed(.seconds(1), maximumAttempts: 3),
            ordering: .byPartitionKey,
            inbox: inbox
        )
        bus.subscribe(to: OrderCreated.self, group: "g", options: options) { _, context in
            attempts.withLock { $0.append(context.attempt) }
            if context.attempt == 1 { inbox.fail(begins: 300) }
            if context.attempt < 3 { throw Broken() }
        }
        try await bus.withRunning {
            try await bus.publish(OrderCreated(orderID: "1"))
            try await broker.settled()
            #expect(attempts.withLock { $0 } == [1, 2, 3])
            #expect(try await bus.deadLetters(of: "g").count() == 0)
        }
    }

    /// Middleware that replaces every error by its own.
    private struct Wrapping: ConsumeMiddleware {
        struct Wrapped: Error {}

        func consume(_ context: EventContext, next: ConsumeNext) async throws {
            do { try await next(context) } catch { throw Wrapped() }
        }
    }

    @Test("An outage or another claim uses up no attempt, even if middleware replaces the error")
    func replacedError() async throws {
        let inbox = ScriptedInbox(clock: clock)
        inbox.fail(begins: 3)
        let bus = EventBus(transport: .inMemory(broker))
        let handled = subscribe(bus, SubscriptionOptions(retry: .never, inbox: inbox, middleware: [Wrapping()]))
        let claimed = InboxKey(topic: OrderCreated.topic, eventID: "claimed", subscription: "g.orders")
        try await bus.withRunning {
            try await bus.publish(OrderCreated(orderID: "1"))
            try await broker.settled()
            guard case .new = try await inbox.begin(claimed, lease: .seconds(30)) else {
                Issue.record("the event was claimed before")
                return
            }
            try await bus.publish(OrderCreated(orderID: "2"), options: .init(id: "claimed"))
            try await broker.settled()
            #expect(handled.orderIDs == ["1", "2"])
            #expect(handled.attempts == [1])
            #expect(try await bus.deadLetters(of: "g").count() == 0)
        }
    }

    @Test("A call to the inbox that exceeds the time limit pauses the subscription, and uses up no attempt")
    func timeLimitOfMiddleware() async throws {
        let answers = Signal()
        let inbox = ScriptedInbox(clock: clock) { call, _ in if call == .begin { try await answers.wait() } }
        let bus = EventBus(transport: .inMemory(broker))
        let limit = try TimeoutMiddleware(.seconds(5))
        let handled = subscribe(bus, SubscriptionOptions(retry: .never, inbox: inbox, middleware: [limit]))
        try await bus.withRunning {
            try await bus.publish(OrderCreated(orderID: "1"))
            try await eventually("the pause") {
                if bus.health().reason.contains("paused") { return true }
                clock.advance(by: .seconds(1))
                return false
            }
            answers.raise()
            try await broker.settled()
            #expect(handled.attempts == [1])
            #expect(try await bus.deadLetters(of: "g").count() == 0)
        }
    }
}

import EventBus
import EventBusInMemory
import EventBusTesting
import InMemoryLogging
import Logging
import MetricsTestKit
import Testing

private final class CallCount: Sendable {
    private let state = Locked(0)

    var value: Int { state.withLock { $0 } }

    func increment() { state.withLock { $0 += 1 } }
}

@Suite("Effects and their records in the inbox", .timeLimit(.minutes(1)))
struct InboxRecordTests {
    private let clock = ManualClock()
    private let broker: InMemoryBroker
    private let calls = CallCount()
    private let key = InboxKey(topic: OrderCreated.topic, eventID: "e", subscription: "g.order-created")

    init() {
        broker = InMemoryBroker(clock: clock)
    }

    private func bus(
        _ inbox: any Inbox,
        logger: Logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() },
        metrics: TestMetrics? = nil,
        retry: RetryPolicy = .never,
        handlerTimeout: Duration? = .seconds(300),
        then: @escaping @Sendable () async throws -> Void = {}
    ) -> EventBus {
        var configuration = EventBusConfiguration()
        if let metrics { configuration.consumeMiddleware = [MetricsMiddleware(factory: metrics)] }
        let bus = EventBus(transport: .inMemory(broker), configuration: configuration, logger: logger)
        let options = SubscriptionOptions(retry: retry, handlerTimeout: handlerTimeout, inbox: inbox)
        bus.subscribe(to: OrderCreated.self, group: "g", options: options) { [calls] _, _ in
            calls.increment()
            try await then()
        }
        return bus
    }

    private func publish(on bus: EventBus) async throws {
        try await bus.publish(OrderCreated(orderID: "1"), options: .init(id: "e"))
    }

    @Test("A record that fails is retried without running the handler again")
    func completeFails() async throws {
        let inbox = ScriptedInbox(clock: clock)
        inbox.fail(completions: 3)
        let bus = bus(inbox)
        try await bus.withRunning {
            try await publish(on: bus)
            try await broker.settled()
            #expect(calls.value == 1)
            #expect(inbox.counts.completions == 4)
            #expect(inbox.counts.abandonments == 0)
            #expect(try await inbox.begin(key, lease: .seconds(30)) == .completed)
            #expect(try await bus.deadLetters(of: "g").count() == 0)
        }
    }

    @Test("While every worker waits to record its effect, nothing else is handled, and health says so")
    func allRecording() async throws {
        let inbox = ScriptedInbox(clock: clock)
        inbox.fail(completions: .max)
        let bus = EventBus(transport: .inMemory(broker))
        let handled = Locked(0)
        bus.subscribe(
            to: OrderCreated.self,
            group: "g",
            name: "orders",
            options: SubscriptionOptions(concurrency: 2, inbox: inbox)
        ) { _, _ in handled.withLock { $0 += 1 } }
        try await bus.withRunning {
            try await bus.publish(OrderCreated(orderID: "0"))
            try await eventually("the record fails") { inbox.counts.completions == 1 }
            // The other worker would find out whether the inbox answers.
            #expect(bus.health().isReady)
            for number in 1..<5 { try await bus.publish(OrderCreated(orderID: "\(number)")) }
            try await eventually("health tells") { !bus.health().isReady }
            #expect(bus.health().reason.contains("all 2 workers wait for the inbox to record"))
            #expect(bus.health().reason.contains("StoreError"))
            #expect(handled.withLock { $0 } == 2)
            inbox.fail()
            try await eventually("everything is handled") {
                clock.advance(by: .milliseconds(50))
                return handled.withLock { $0 } == 5
            }
            try await eventually("health is ready") {
                clock.advance(by: .milliseconds(50))
                return bus.health().isReady
            }
        }
    }

    @Test("An effect that cannot be recorded during the claim is acknowledged, counted and logged")
    func neverRecorded() async throws {
        let inbox = ScriptedInbox(clock: clock)
        inbox.fail(completions: .max)
        let (metrics, handler) = (TestMetrics(), InMemoryLogHandler())
        let bus = bus(inbox, logger: Logger(label: "test") { _ in handler }, metrics: metrics)
        try await bus.withRunning {
            try await publish(on: bus)
            try await broker.settled()
            #expect(calls.value == 1)
            #expect(inbox.counts.completions > 5)
            #expect(clock.now.offset < .seconds(30))
            #expect(try await bus.deadLetters(of: "g").count() == 0)
            #expect(broker.queues.allSatisfy { $0.ready + $0.unsettled + $0.delayed == 0 })
        }
        let labels = [("topic", "order.created"), ("group", "g")]
        #expect(try metrics.expectCounter("eventbus.effects_unrecorded", labels).totalValue == 1)
        let warning = try #require(handler.entries.first { $0.level == .warning })
        #expect("\(warning.message)".contains("effect without record"))
        #expect(warning.metadata["event-id"] == "e")
    }

    @Test("The handler's time limit does not affect the record that is being written")
    func timeoutWhileRecording() async throws {
        let (isRecording, mayRecord) = (Signal(), Signal())
        let wasCancelled = Locked(false)
        let inbox = ScriptedInbox(clock: clock) { call, _ in
            guard call == .complete else { return }
            isRecording.raise()
            while !mayRecord.isRaised, !Task.isCancelled { await Task.yield() }
            if Task.isCancelled { wasCancelled.withLock { $0 = true } }
        }
        let bus = bus(inbox, handlerTimeout: .seconds(1))
        try await bus.withRunning {
            try await publish(on: bus)
            try await isRecording.wait()
            // The watchdog sleeps until the limit. When it sleeps again or is gone, it has checked.
            clock.advance(by: .seconds(10))
            for _ in 0..<1000 { await Task.yield() }
            mayRecord.raise()
            try await broker.settled()
            #expect(calls.value == 1)
            #expect(!wasCancelled.withLock { $0 })
            #expect(try await inbox.begin(key, lease: .seconds(30)) == .completed)
            #expect(try await bus.deadLetters(of: "g").count() == 0)
        }
    }

    @Test("Cancelling the bus does not affect the record that is being written")
    func abortWhileRecording() async throws {
        let (isRecording, mayRecord) = (Signal(), Signal())
        let wasCancelled = Locked(false)
        let inbox = ScriptedInbox(clock: clock) { call, _ in
            guard call == .complete else { return }
            isRecording.raise()
            while !mayRecord.isRaised, !Task.isCancelled { await Task.yield() }
            if Task.isCancelled { wasCancelled.withLock { $0 = true } }
        }
        let bus = bus(inbox)
        let run = Task { try await bus.run() }
        try await publish(on: bus)
        try await isRecording.wait()
        run.cancel()
        for _ in 0..<1000 { await Task.yield() }
        mayRecord.raise()
        _ = await run.result
        #expect(calls.value == 1)
        #expect(!wasCancelled.withLock { $0 })
        #expect(try await inbox.begin(key, lease: .seconds(30)) == .completed)
    }

    @Test("An event whose consumer was killed in its handler waits for the lease of 30 seconds and uses up no attempt")
    func killedConsumer() async throws {
        let inbox = InMemoryInbox(clock: clock)
        let attempts = Locked<[Int]>([])
        let bus = EventBus(transport: .inMemory(broker))
        bus.subscribe(to: OrderCreated.self, group: "g", options: .init(retry: .never, inbox: inbox)) { _, context in
            attempts.withLock { $0.append(context.attempt) }
        }
        // The claim of a process that has died.
        _ = try await inbox.begin(key, lease: InboxOptions().lease)
        try await bus.withRunning {
            try await publish(on: bus)
            try await broker.settled()
            #expect(attempts.withLock { $0 } == [1])
            #expect(clock.now.offset >= .seconds(30) && clock.now.offset <= .seconds(31))
            #expect(try await bus.deadLetters(of: "g").count() == 0)
        }
    }

    @Test("A claim is renewed while its handler runs, even if a renewal fails, so that a duplicate waits")
    func renewal() async throws {
        let inbox = ScriptedInbox(clock: clock)
        inbox.fail(renewals: 2)
        let mayEnd = Signal()
        let bus = bus(inbox, handlerTimeout: nil) { try await mayEnd.wait() }
        try await bus.withRunning {
            try await publish(on: bus)
            try await eventually("the handler runs") { calls.value == 1 }
            // Every 10 seconds, and sooner after the two failures.
            for renewal in 1...14 {
                try await eventually("renewal \(renewal)") {
                    if inbox.counts.renewals >= renewal { return true }
                    clock.advance(by: .milliseconds(200))
                    return false
                }
            }
            #expect(clock.now.offset >= .seconds(120))
            try await publish(on: bus)
            guard case .inProgress = try await inbox.begin(key, lease: .seconds(1)) else {
                Issue.record("the claim of a running handler ended")
                return
            }
            mayEnd.raise()
            try await broker.settled()
            #expect(calls.value == 1)
        }
    }

    @Test("Two events with one id and different topics are both handled, and a duplicate is counted and logged")
    func identity() async throws {
        let (metrics, handler) = (TestMetrics(), InMemoryLogHandler())
        var configuration = EventBusConfiguration()
        configuration.consumeMiddleware = [MetricsMiddleware(factory: metrics)]
        let logger = Logger(label: "test") { _ in handler }
        let bus = EventBus(transport: .inMemory(broker), configuration: configuration, logger: logger)
        let handled = Locked<[String]>([])
        let options = SubscriptionOptions(concurrency: 1, inbox: InMemoryInbox(clock: clock))
        bus.subscribe(to: "order.#", group: "g", name: "orders", options: options) { event, _ in
            handled.withLock { $0.append("\(event.topic)") }
        }
        try await bus.withRunning {
            try await bus.publish(OrderCreated(orderID: "1"), options: .init(id: "same"))
            try await bus.publish(OrderConfirmed(orderID: "1"), options: .init(id: "same"))
            try await bus.publish(OrderConfirmed(orderID: "1"), options: .init(id: "same"))
            try await broker.settled()
        }
        #expect(handled.withLock { $0.sorted() } == ["order.confirmed", "order.created"])
        let labels = [("topic", "order.#"), ("group", "g")]
        #expect(try metrics.expectCounter("eventbus.duplicates_suppressed", labels).totalValue == 1)
        #expect(try metrics.expectCounter("eventbus.handled", labels + [("outcome", "success")]).totalValue == 2)
        let line = try #require(handler.entries.first { $0.message == "duplicate suppressed" })
        #expect(line.level == .info)
        #expect(line.metadata["event-id"] == "same")
        #expect(line.metadata["topic"] == "order.confirmed")
        #expect(line.metadata["subscription"] == "orders")
    }

    @Test("An event under the topic and id of another one is suppressed, logged as a warning and counted apart")
    func conflict() async throws {
        let (metrics, handler) = (TestMetrics(), InMemoryLogHandler())
        let bus = bus(InMemoryInbox(clock: clock), logger: Logger(label: "test") { _ in handler }, metrics: metrics)
        try await bus.withRunning {
            for orderID in ["forged", "genuine", "forged"] {
                try await bus.publish(OrderCreated(orderID: orderID), options: .init(id: "e"))
                try await broker.settled()
            }
        }
        #expect(calls.value == 1)
        let labels = [("topic", "order.created"), ("group", "g")]
        #expect(try metrics.expectCounter("eventbus.duplicates_conflicting", labels).totalValue == 1)
        #expect(try metrics.expectCounter("eventbus.duplicates_suppressed", labels).totalValue == 1)
        let warnings = handler.entries.filter { $0.level == .warning }
        #expect(warnings.count == 1)
        #expect(warnings.first?.metadata["event-id"] == "e")
    }

    @Test("An injected crash may strike between effect and record, so the handler runs twice in spite of an inbox")
    func injectedCrash() async throws {
        let broker = InMemoryBroker(clock: clock, faults: .only(.handlerCrash, rate: 0.5, seed: 7))
        let bus = EventBus(transport: .inMemory(broker))
        let runs = Locked<[String: Int]>([:])
        let options = SubscriptionOptions(inbox: InMemoryInbox(clock: clock))
        bus.subscribe(to: OrderCreated.self, group: "g", options: options) { order, _ in
            runs.withLock { $0[order.orderID, default: 0] += 1 }
        }
        try await bus.withRunning {
            for number in 0..<200 { try await bus.publish(OrderCreated(orderID: "\(number)")) }
            try await broker.settled()
            #expect(try await bus.deadLetters(of: "g").count() == 0)
        }
        let counts = runs.withLock { $0 }
        #expect(counts.count == 200)
        #expect(counts.values.contains { $0 > 1 }, "no crash came between effect and record")
        #expect(counts.values.contains(1))
    }
}

import EventBus
import EventBusInMemory
import EventBusTesting
import Testing

/// Handlers that ignore their cancellation and never return, and what they must not keep from going on.
@Suite("Hung handlers", .timeLimit(.minutes(1)))
struct HungHandlerTests {
    private let clock = ManualClock()
    private let broker: InMemoryBroker
    private let mayEnd = Signal()
    private let hung = Counter()
    private let handled = Collected<String>()

    init() {
        broker = InMemoryBroker(clock: clock)
    }

    /// An event of a version that no instance in these tests supports.
    private struct NextOrderCreated: Event {
        static let topic = OrderCreated.topic
        static let version = 2
        var orderID: String
        var partitionKey: String? { orderID }
    }

    private struct Failed: Error {}

    /// Waits until the test ends, whatever happens to the task.
    private func hang() async throws {
        hung.add()
        try await Task { [mayEnd] in try await mayEnd.wait() }.value
    }

    private func makeBus(grace: Duration = .seconds(1)) -> EventBus {
        var configuration = EventBusConfiguration()
        configuration.cancellationGrace = grace
        return EventBus(transport: .inMemory(broker), configuration: configuration)
    }

    /// Adds a subscription whose handler hangs for the event `hung`.
    private func subscribe(on bus: EventBus, _ options: SubscriptionOptions) -> Subscription {
        bus.subscribe(to: OrderCreated.self, group: "g", name: "orders", options: options) { order, _ in
            if order.orderID == "hung" { try await hang() }
            handled.add(order.orderID)
        }
    }

    private func publish(_ ids: String..., on bus: EventBus) async throws {
        for id in ids { try await bus.publish(OrderCreated(orderID: id)) }
    }

    /// Advances the clock in steps until a condition holds.
    private func advancing(
        by step: Duration,
        until what: String,
        _ condition: () async throws -> Bool
    ) async throws {
        try await eventually(what, within: .seconds(15)) {
            if try await condition() { return true }
            clock.advance(by: step)
            return false
        }
    }

    /// Lets the hung handlers end, and waits until they have.
    private func endHandlers(of subscription: Subscription) async throws {
        mayEnd.raise()
        try await eventually("they end") { subscription.health.reason?.contains("cancellation") != true }
    }

    @Test("The next attempt at an event whose handler obeyed its cancellation is not taken for a hung one")
    func obedient() async throws {
        let bus = makeBus()
        let (begun, ended) = (Counter(), Counter())
        let subscription = bus.subscribe(
            to: OrderCreated.self,
            group: "g",
            name: "orders",
            options: SubscriptionOptions(
                concurrency: 1,
                retry: .fixed(.milliseconds(100), maximumAttempts: 5),
                handlerTimeout: .seconds(10),
                ordering: .byPartitionKey
            )
        ) { order, _ in
            begun.add()
            defer { ended.add() }
            try await mayEnd.wait()
            handled.add(order.orderID)
        }
        try await bus.withRunning {
            defer { mayEnd.raise() }
            try await publish("slow", on: bus)
            try await eventually("the first attempt") { begun.value == 1 }
            try await advancing(by: .seconds(1), until: "its limit") { ended.value == 1 }
            try await advancing(by: .milliseconds(100), until: "the second attempt") { begun.value == 2 }
            // Beyond the grace of the first attempt.
            for _ in 0..<40 {
                clock.advance(by: .milliseconds(50))
                try await Task.sleep(for: .milliseconds(1))
            }
            #expect(subscription.health.details["overdue"] ?? 0 == 0)
            #expect(bus.health().isReady)
            let paused = Task {
                await subscription.pause()
                return handled.all
            }
            try await eventually("it is being paused") { subscription.health.reason?.contains("paus") == true }
            mayEnd.raise()
            #expect(await paused.value == ["slow"])
        }
    }

    @Test(
        "A hung event does not keep others from starting after three consumer timeouts",
        arguments: [Duration.seconds(10), nil]
    )
    func suspect(limit: Duration?) async throws {
        let bus = makeBus()
        let subscription = subscribe(on: bus, SubscriptionOptions(handlerTimeout: limit))
        try await bus.withRunning {
            defer { mayEnd.raise() }
            try await publish("hung", on: bus)
            try await eventually("it hangs") { hung.value == 1 }
            for count in 2...3 {
                try await advancing(by: .seconds(60), until: "redelivery \(count - 1)") { hung.value == count }
            }
            // The third redelivery makes it a suspect, which runs alone.
            try await advancing(by: .seconds(60), until: "redelivery 3") { hung.value == 4 }
            try await publish("1", "2", "3", on: bus)
            try await advancing(by: .seconds(60), until: "the others are handled") { handled.all.count == 3 }
            #expect(bus.health().isReady)
            #expect(subscription.health.reason?.contains("handlers ignore their cancellation") == true)
            try await endHandlers(of: subscription)
        }
    }

    @Test("A channel is reopened although one handler never returns")
    func reopening() async throws {
        let bus = makeBus(grace: .seconds(200))
        let options = SubscriptionOptions(
            concurrency: 8,
            handlerTimeout: .seconds(10),
            ordering: .byPartitionKey,
            maximumHold: .seconds(100)
        )
        let subscription = subscribe(on: bus, options)
        try await bus.withRunning {
            defer { mayEnd.raise() }
            try await publish("hung", on: bus)
            try await eventually("it hangs") { hung.value == 1 }
            try await bus.publish(NextOrderCreated(orderID: "next"))
            try await advancing(by: .seconds(1), until: "health tells") { subscription.health.status == .notReady }
            #expect(subscription.health.reason?.contains("1 handler ignores its cancellation") == true)
            try await publish("1", on: bus)
            try await advancing(by: .seconds(1), until: "another key goes on") { handled.all == ["1"] }
            #expect(clock.now.offset >= .seconds(210))
            // Its channel was closed, so another instance may handle the event. So may this one.
            try await advancing(by: .seconds(1), until: "its event starts again") { hung.value == 2 }
            try await endHandlers(of: subscription)
        }
    }

    @Test("The next event of a key does not start while an earlier one hangs and still belongs to this instance")
    func key() async throws {
        let bus = makeBus()
        let options = SubscriptionOptions(handlerTimeout: .seconds(10), ordering: .byPartitionKey)
        let began = Counter()
        bus.subscribe(to: OrderCreated.self, group: "g", name: "orders", options: options) { order, _ in
            guard order.orderID == "a" else { return handled.add(order.orderID) }
            if began.add() == 1 { try await hang() }
        }
        try await bus.withRunning {
            defer { mayEnd.raise() }
            try await publish("a", "a", "b", on: bus)
            try await eventually("it hangs and the other key is handled") { hung.value == 1 && handled.all == ["b"] }
            for _ in 0..<100 {
                clock.advance(by: .seconds(1))
                await Task.yield()
            }
            try await publish("c", on: bus)
            try await eventually("another key is handled") { handled.all == ["b", "c"] }
            #expect(began.value == 1)
            mayEnd.raise()
            try await broker.settled()
            #expect(began.value == 2)
        }
    }

    @Test("Another event probes when the probe never returns", arguments: [Duration.seconds(10), nil])
    func probe(limit: Duration?) async throws {
        let bus = makeBus()
        let calls = Counter()
        let options = SubscriptionOptions(
            retry: .fixed(.seconds(1), maximumAttempts: 100),
            handlerTimeout: limit,
            breaker: CircuitBreaker(minimumAttempts: 4, probeInterval: .seconds(30))
        )
        let subscription = bus.subscribe(to: OrderCreated.self, group: "g", name: "orders", options: options) {
            order,
            _ in
            switch calls.add() {
            case 1...4: throw Failed()
            case 5: try await hang()
            default: handled.add(order.orderID)
            }
        }
        try await bus.withRunning {
            defer { mayEnd.raise() }
            try await publish("1", "2", "3", "4", on: bus)
            try await eventually("the pause") { subscription.health.status == .notReady }
            try await advancing(by: .seconds(1), until: "the probe hangs") { hung.value == 1 }
            try await publish("5", "6", "7", on: bus)
            let step: Duration = limit == nil ? .seconds(60) : .seconds(1)
            try await advancing(by: step, until: "the others are handled") { Set(handled.all).count >= 6 }
            #expect(bus.health().isReady)
            try await endHandlers(of: subscription)
        }
    }

    @Test("Another event asks the inbox again when the call of the one that probes never returns")
    func inboxProbe() async throws {
        let begins = Counter()
        let inbox = ScriptedInbox(clock: clock) { [hung, mayEnd] call, _ in
            guard call == .begin else { return }
            switch begins.add() {
            case 1, 2: throw ScriptedInbox.StoreError()
            case 3:
                hung.add()
                try await Task { try await mayEnd.wait() }.value
            default: break
            }
        }
        let bus = makeBus()
        let subscription = subscribe(on: bus, SubscriptionOptions(inbox: inbox))
        try await bus.withRunning {
            defer { mayEnd.raise() }
            try await publish("1", on: bus)
            try await eventually("the pause") { subscription.health.status == .notReady }
            try await advancing(by: .milliseconds(100), until: "the probe hangs") { hung.value == 1 }
            try await publish("2", "3", on: bus)
            try await advancing(by: .seconds(1), until: "the others are handled") { handled.all.count == 2 }
            #expect(bus.health().isReady)
            mayEnd.raise()
            try await advancing(by: .seconds(1), until: "so is the first") { handled.all.count == 3 }
            try await endHandlers(of: subscription)
        }
    }

    @Test("A pause waits until the inbox has recorded the effect of a handler that ended late")
    func lateRecord() async throws {
        let (records, mayRecord, paused) = (Signal(), Signal(), Signal())
        let inbox = ScriptedInbox(clock: clock) { call, _ in
            guard call == .complete else { return }
            records.raise()
            try await mayRecord.wait()
        }
        let bus = makeBus()
        let subscription = subscribe(on: bus, SubscriptionOptions(handlerTimeout: .seconds(10), inbox: inbox))
        try await bus.withRunning {
            defer {
                mayEnd.raise()
                mayRecord.raise()
            }
            try await publish("hung", on: bus)
            try await eventually("it hangs") { hung.value == 1 }
            clock.advance(by: .seconds(10))
            try await eventually("it is overdue") { subscription.health.details["overdue"] == 1 }
            mayEnd.raise()
            try await records.wait()
            Task {
                await subscription.pause()
                paused.raise()
            }
            try await eventually("it waits") { subscription.health.reason?.contains("waits for its running") == true }
            for _ in 0..<50 {
                clock.advance(by: .milliseconds(100))
                try await Task.sleep(for: .milliseconds(1))
            }
            #expect(!paused.isRaised)
            mayRecord.raise()
            try await paused.wait()
            #expect(inbox.counts.completions == 1)
        }
    }

    @Test("A change of concurrency behind a hung handler is not ready, and is made without it")
    func changeOfConcurrency() async throws {
        let bus = makeBus(grace: .seconds(20))
        let subscription = subscribe(on: bus, SubscriptionOptions(concurrency: 4, handlerTimeout: .seconds(10)))
        let changed = Signal()
        try await bus.withRunning {
            defer { mayEnd.raise() }
            try await publish("hung", on: bus)
            try await eventually("it hangs") { hung.value == 1 }
            Task {
                try await subscription.changeConcurrency(to: 8)
                changed.raise()
            }
            try await eventually("it waits") { subscription.health.reason?.contains("waits for its running") == true }
            #expect(subscription.health.status == .ready)
            clock.advance(by: .seconds(10))
            try await eventually("health tells") { subscription.health.status == .notReady }
            #expect(subscription.health.reason?.contains("1 handler ignores its cancellation") == true)
            try await advancing(by: .seconds(1), until: "the change") { changed.isRaised }
            #expect(clock.now.offset >= .seconds(30))
            try await publish("1", on: bus)
            try await eventually("the next session handles events") { handled.all == ["1"] && hung.value == 2 }
            try await endHandlers(of: subscription)
        }
    }
}

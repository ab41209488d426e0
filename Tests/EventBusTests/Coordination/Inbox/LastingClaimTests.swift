import EventBus
import EventBusInMemory
import EventBusTesting
import InMemoryLogging
import Logging
import Testing

/// Claims in an inbox that are renewed for too long.
@Suite("Lasting claims", .timeLimit(.minutes(1)))
struct LastingClaimTests {
    private let clock = ManualClock()
    private let broker: InMemoryBroker
    private let inbox: InMemoryInbox
    private let log = InMemoryLogHandler()
    private let key = InboxKey(topic: OrderCreated.topic, eventID: "e", subscription: "g.order-created")

    init() {
        broker = InMemoryBroker(clock: clock)
        inbox = InMemoryInbox(clock: clock)
    }

    private func makeBus() -> EventBus {
        EventBus(transport: .inMemory(broker), logger: Logger(label: "test") { [log] _ in log })
    }

    private func publish(on bus: EventBus) async throws {
        try await bus.publish(OrderCreated(orderID: "1"), options: .init(id: "e"))
    }

    struct Way: Sendable, CustomTestStringConvertible {
        var limit: Duration?
        var ordering: SubscriptionOptions.Ordering
        var testDescription: String { "\(ordering), limit \(limit.map { "\($0)" } ?? "none")" }

        static let all = [
            Way(limit: .seconds(10), ordering: .none), Way(limit: nil, ordering: .none),
            Way(limit: .seconds(10), ordering: .byPartitionKey),
        ]
    }

    @Test(
        "An event whose first handler never returns is taken over after its connection is lost",
        arguments: Way.all
    )
    func takenOver(way: Way) async throws {
        let bus = makeBus()
        let (calls, hung, mayEnd, handled) = (Counter(), Signal(), Signal(), Counter())
        let options = SubscriptionOptions(
            concurrency: 4,
            retry: .never,
            handlerTimeout: way.limit,
            ordering: way.ordering,
            inbox: inbox
        )
        let subscription = bus.subscribe(to: OrderCreated.self, group: "g", options: options) { _, _ in
            if calls.add() == 1 {
                hung.raise()
                // Waits in a separate task, which nothing cancels.
                try await Task { try await mayEnd.wait() }.value
            }
            handled.add()
        }
        try await bus.withRunning {
            defer { mayEnd.raise() }
            try await publish(on: bus)
            try await hung.wait()
            broker.loseConnections()
            try await eventually("it is taken over", within: .seconds(15)) {
                if handled.value == 1 { return true }
                clock.advance(by: .seconds(1))
                return false
            }
            #expect(clock.now.offset > .seconds(30))
            try await eventually("it is recorded") {
                try await inbox.begin(key, lease: .seconds(1)) == .completed
            }
            #expect(try await bus.deadLetters(of: "g").count() == 0)
            mayEnd.raise()
            try await eventually("it ends") { subscription.health.reason?.contains("cancellation") != true }
        }
        #expect(log.entries.contains { "\($0.message)".contains("no longer renews") && $0.level == .warning })
    }

    @Test(
        "An event whose claim never ends is named in health and becomes a dead letter",
        arguments: [SubscriptionOptions.Ordering.none, .byPartitionKey]
    )
    func endless(ordering: SubscriptionOptions.Ordering) async throws {
        let bus = makeBus()
        let options = SubscriptionOptions(
            retry: .never,
            handlerTimeout: .seconds(60),
            ordering: ordering,
            inbox: inbox,
            maximumDeferral: .seconds(600)
        )
        let subscription = bus.subscribe(to: OrderCreated.self, group: "g", options: options) { _, _ in
            Issue.record("an event was handled that another consumer has claimed")
        }
        // The claim of a consumer that hangs, and renews it all the time.
        _ = try await inbox.begin(key, lease: .seconds(1_000_000))
        try await bus.withRunning {
            try await publish(on: bus)
            try await eventually("health names it", within: .seconds(15)) {
                if subscription.health.reason?.contains("event e ") == true { return true }
                clock.advance(by: .seconds(1))
                return false
            }
            #expect(subscription.health.status == .ready)
            #expect(clock.now.offset > .seconds(30), "a claim that has just begun is no reason to worry")
            try await broker.settled()
            let letter = try #require(try await bus.deadLetters(of: "g").entries(limit: 1).first)
            #expect(letter.failure.reason.rawValue == "in_progress")
            #expect(letter.failure.message.contains("event e "))
            #expect(clock.now.offset >= .seconds(600) && clock.now.offset < .seconds(700))
        }
        #expect(log.entries.contains { $0.level == .warning && "\($0.message)".contains("another consumer") })
    }

    @Test("An event that may not be deferred still waits for the claim of a consumer that was killed")
    func killedConsumer() async throws {
        let bus = makeBus()
        let handled = Counter()
        let options = SubscriptionOptions(retry: .never, inbox: inbox, maximumDeferral: .zero)
        bus.subscribe(to: OrderCreated.self, group: "g", options: options) { _, _ in handled.add() }
        _ = try await inbox.begin(key, lease: .seconds(30))
        try await bus.withRunning {
            try await publish(on: bus)
            try await broker.settled()
            #expect(handled.value == 1)
            #expect(try await bus.deadLetters(of: "g").count() == 0)
        }
    }
}

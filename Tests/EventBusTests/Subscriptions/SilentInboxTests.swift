import EventBus
import EventBusInMemory
import EventBusTesting
import InMemoryLogging
import Logging
import Testing

@Suite("An inbox that does not answer", .timeLimit(.minutes(1)))
struct SilentInboxTests {
    private let clock = ManualClock()
    private let broker: InMemoryBroker
    private let answers = Signal()
    private let log = InMemoryLogHandler()

    init() {
        broker = InMemoryBroker(clock: clock)
    }

    /// An inbox whose calls of one kind wait for ``answers``.
    private func makeInbox(
        silentAt silent: ScriptedInbox.Call,
        for id: EventID? = nil,
        heedsCancellation: Bool
    ) -> ScriptedInbox {
        ScriptedInbox(clock: clock) { [answers] call, key in
            guard call == silent, id == nil || key.eventID == id else { return }
            if heedsCancellation {
                try await answers.wait()
            } else {
                await Task { try? await answers.wait() }.value
            }
        }
    }

    private func makeBus() -> EventBus {
        EventBus(transport: .inMemory(broker), logger: Logger(label: "test") { [log] _ in log })
    }

    @Test("A record without an answer blocks its delivery until the claim ends", arguments: [true, false])
    func complete(heedsCancellation: Bool) async throws {
        let inbox = makeInbox(silentAt: .complete, heedsCancellation: heedsCancellation)
        let bus = makeBus()
        let runs = Locked(0)
        bus.subscribe(to: OrderCreated.self, group: "g", options: .init(inbox: inbox)) { _, _ in
            runs.withLock { $0 += 1 }
        }
        try await bus.withRunning {
            try await bus.publish(OrderCreated(orderID: "1"))
            try await broker.settled(handlerPatience: .milliseconds(100))
            #expect(runs.withLock { $0 } == 1)
            #expect(clock.now.offset >= .seconds(30))
            #expect(try await bus.deadLetters(of: "g").count() == 0)
            answers.raise()
        }
        #expect(log.entries.contains { "\($0.message)".contains("effect without record") })
    }

    @Test("A claim that cannot be returned blocks its delivery until it ends", arguments: [true, false])
    func abandon(heedsCancellation: Bool) async throws {
        let inbox = makeInbox(silentAt: .abandon, heedsCancellation: heedsCancellation)
        let bus = makeBus()
        bus.subscribe(to: OrderCreated.self, group: "g", options: .init(retry: .never, inbox: inbox)) { _, _ in
            throw Broken()
        }
        try await bus.withRunning {
            try await bus.publish(OrderCreated(orderID: "1"))
            try await broker.settled(handlerPatience: .milliseconds(100))
            let letter = try #require(try await bus.deadLetters(of: "g").entries(limit: 1).first)
            #expect(letter.failure.message.contains("broken"))
            answers.raise()
        }
    }

    @Test("A renewal without an answer delays no other", arguments: [true, false])
    func renew(heedsCancellation: Bool) async throws {
        let inbox = makeInbox(silentAt: .renew, for: "silent", heedsCancellation: heedsCancellation)
        let bus = makeBus()
        let mayEnd = Signal()
        let began = Locked(0)
        bus.subscribe(to: OrderCreated.self, group: "g", options: .init(handlerTimeout: nil, inbox: inbox)) { _, _ in
            began.withLock { $0 += 1 }
            try await mayEnd.wait()
        }
        try await bus.withRunning {
            try await bus.publish(OrderCreated(orderID: "1"), options: .init(id: "silent"))
            try await bus.publish(OrderCreated(orderID: "2"), options: .init(id: "other"))
            try await eventually("both handlers run") { began.withLock { $0 } == 2 }
            // The claim without an answer is renewed once, and never again.
            for renewals in 2...12 {
                try await eventually("renewal \(renewals)") {
                    if inbox.counts.renewals >= renewals { return true }
                    clock.advance(by: .milliseconds(200))
                    return false
                }
            }
            let key = InboxKey(topic: OrderCreated.topic, eventID: "other", subscription: "g.order-created")
            guard case .inProgress = try await inbox.begin(key, lease: .seconds(1)) else {
                Issue.record("the claim of a running handler ended")
                return
            }
            mayEnd.raise()
            answers.raise()
        }
    }

    @Test("A claim without an answer pauses the subscription, whatever the time limit of its handlers")
    func begin() async throws {
        let inbox = makeInbox(silentAt: .begin, heedsCancellation: true)
        let bus = makeBus()
        let attempts = Locked<[Int]>([])
        let options = SubscriptionOptions(retry: .never, handlerTimeout: nil, inbox: inbox)
        let orders = bus.subscribe(to: OrderCreated.self, group: "g", options: options) { _, context in
            attempts.withLock { $0.append(context.attempt) }
        }
        try await bus.withRunning {
            try await bus.publish(OrderCreated(orderID: "1"))
            try await eventually("the pause") {
                if orders.health.reason?.contains("did not answer in time") == true { return true }
                clock.advance(by: .seconds(1))
                return false
            }
            answers.raise()
            try await broker.settled(handlerPatience: .milliseconds(100))
            #expect(attempts.withLock { $0 } == [1])
            #expect(orders.health.status == .ready)
        }
        #expect(!log.entries.contains { "\($0.message)".contains("exceeded its timeout") })
    }
}

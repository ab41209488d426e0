import EventBus
import EventBusTesting
import Testing

@testable import EventBusInMemory

private struct Placed: Event {
    static let topic: Topic = "order.placed"
    var number = 0
}

private struct Asked: RequestEvent {
    static let topic: Topic = "quote.asked"
    struct Reply: Codable, Sendable { var price: Int }
}

/// A request that nobody responds to.
private struct Unanswered: RequestEvent {
    static let topic: Topic = "quote.unanswered"
    struct Reply: Codable, Sendable { var price: Int }
}

/// A part of a system that reports the activity that the test sets.
private final class ScriptedPart: ActivityReporting {
    let state: Locked<Activity>

    init(_ activity: Activity) { state = Locked(activity) }

    func activity() -> Activity { state.withLock { $0 } }
}

@Suite("Settled: handlers, listeners and relays", .timeLimit(.minutes(1)))
struct SettledPartsTests {
    @Test("It waits for the mailboxes of asynchronous local listeners")
    func localListeners() async throws {
        let broker = InMemoryBroker(clock: ManualClock())
        let bus = EventBus(transport: .inMemory(broker))
        let heard = Locked(0)
        bus.local.on(Placed.self) { _ in
            for _ in 0..<100 { await Task.yield() }
            heard.withLock { $0 += 1 }
        }
        try await bus.withRunning {
            for number in 0..<20 { try await bus.publish(Placed(number: number)) }
            try await broker.settled()
            #expect(heard.withLock { $0 } == 20)
        }
    }

    @Test("It waits for a busy part, and advances to the instant that an idle part waits for")
    func parts() async throws {
        let clock = ManualClock()
        let broker = InMemoryBroker(clock: clock)
        let change = Signal()
        let relay = ScriptedPart(.busy(description: "the relay publishes 1 event", change: change))
        broker.activityMonitor.add(relay)
        let error = await #expect(throws: EventBusError.self) { try await broker.settled(within: .milliseconds(20)) }
        #expect(error?.code == .timedOut)
        #expect(error?.message.contains("the relay publishes 1 event") == true)
        let later = Signal()
        relay.state.withLock {
            $0 = .waiting(description: "a retry", due: .init(offset: .seconds(60)), change: later)
        }
        change.raise()
        let settling = Task { try await broker.settled() }
        while clock.now.offset < .seconds(60) { await Task.yield() }
        relay.state.withLock { $0 = .idle }
        later.raise()
        try await settling.value
        #expect(clock.now.offset == .seconds(60))
        broker.activityMonitor.remove(relay)
        #expect(broker.activityMonitor.reporters.isEmpty)
    }

    @Test("A deallocated part is forgotten")
    func goneParts() {
        let monitor = ActivityMonitor()
        monitor.add(ScriptedPart(.idle))
        #expect(monitor.reporters.isEmpty)
    }

    @Test("A handler that hangs until its timeout takes almost no real time, for any number of attempts")
    func hangingHandler() async throws {
        let clock = ManualClock()
        let broker = InMemoryBroker(clock: clock)
        let bus = EventBus(transport: .inMemory(broker))
        let options = SubscriptionOptions(retry: .fixed(.seconds(1), maximumAttempts: 3), handlerTimeout: .seconds(30))
        bus.subscribe(to: Placed.self, group: "g", options: options) { _, _ in
            try await Signal().wait()
        }
        try await bus.withRunning {
            try await bus.publish(Placed())
            try await broker.settled(handlerPatience: .milliseconds(200))
            let letters = try await bus.deadLetters(of: "g").entries(limit: 10)
            #expect(letters.map(\.attempts) == [3])
            #expect(clock.now.offset >= .seconds(3 * 30))
        }
    }

    @Test("A handler that sleeps on the manual clock continues when its sleep ends, not at its timeout")
    func sleepingHandler() async throws {
        let clock = ManualClock()
        let broker = InMemoryBroker(clock: clock)
        let bus = EventBus(transport: .inMemory(broker))
        let handled = Locked(0)
        bus.subscribe(to: Placed.self, group: "g", options: .init(handlerTimeout: .seconds(30))) { _, _ in
            try await clock.sleep(for: .seconds(5))
            handled.withLock { $0 += 1 }
        }
        try await bus.withRunning {
            try await bus.publish(Placed())
            try await broker.settled(handlerPatience: .milliseconds(200))
        }
        #expect(handled.withLock { $0 } == 1)
        #expect(clock.now.offset == .seconds(5))
    }

    @Test("A handler that works in real time is waited for, and the clock does not advance meanwhile")
    func workingHandler() async throws {
        let clock = ManualClock()
        let broker = InMemoryBroker(clock: clock)
        let bus = EventBus(transport: .inMemory(broker))
        let attempts = Locked(0)
        let (began, mayEnd) = (Signal(), Signal())
        bus.subscribe(to: Placed.self, group: "g", options: .init(handlerTimeout: .seconds(30))) { _, _ in
            attempts.withLock { $0 += 1 }
            began.raise()
            try await mayEnd.wait()
        }
        try await bus.withRunning {
            try await bus.publish(Placed())
            let settling = Task { try await broker.settled(within: nil, handlerPatience: .seconds(50)) }
            try await began.wait()
            try await eventually("it is waited for") { broker.look { !$0.settledWaiters.isEmpty } }
            mayEnd.raise()
            try await settling.value
        }
        #expect(attempts.withLock { $0 } == 1)
        #expect(clock.now.offset == .zero)
    }

    @Test("It waits for a pending request, and advances to its deadline if nobody answers")
    func request() async throws {
        let clock = ManualClock()
        let broker = InMemoryBroker(clock: clock)
        let bus = EventBus(transport: .inMemory(broker))
        // A subscriber that is no responder, so that no reply ever comes.
        bus.subscribe(to: Asked.self, group: "g") { _, _ in }
        try await bus.withRunning {
            let asking = Task { try await bus.request(Asked(), timeout: .seconds(20)) }
            try await eventually("the request is pending") { broker.look { !$0.pendingRequests.isEmpty } }
            try await broker.settled()
            #expect(broker.look { $0.pendingRequests.isEmpty })
            let error = await #expect(throws: EventBusError.self) { try await asking.value }
            #expect(error?.code == .timedOut)
            #expect(clock.now.offset == .seconds(20))
        }
    }

    @Test("When it gives up it names the topics of pending requests")
    func requestDescription() async throws {
        let broker = InMemoryBroker()
        let bus = EventBus(transport: .inMemory(broker))
        bus.subscribe(to: Asked.self, group: "g") { _, _ in }
        try await bus.withRunning {
            let asking = Task { try await bus.request(Asked(), timeout: .seconds(60)) }
            try await eventually("the request is pending") { broker.look { !$0.pendingRequests.isEmpty } }
            let error = await #expect(throws: EventBusError.self) {
                try await broker.settled(within: .milliseconds(50))
            }
            #expect(error?.message.contains("1 requests wait for a reply: quote.asked") == true)
            asking.cancel()
            try await broker.settled()
        }
    }

    /// Returns a bus that answers every request.
    private func responder(on broker: InMemoryBroker) -> EventBus {
        let bus = EventBus(transport: .inMemory(broker))
        bus.respond(to: Asked.self, group: "g") { _, _ in Asked.Reply(price: 7) }
        return bus
    }

    @Test("A request that was answered has returned before it settles, without any time passing")
    func answeredRequest() async throws {
        let clock = ManualClock()
        let broker = InMemoryBroker(clock: clock)
        let bus = responder(on: broker)
        try await bus.withRunning {
            for _ in 0..<50 {
                async let reply = bus.request(Asked(), timeout: .seconds(20))
                try await broker.settled()
                #expect(try await reply.price == 7)
            }
            try await broker.settled()
            #expect(clock.now.offset == .zero)
        }
    }

    @Test("Requests that are sent, refused and answered while others settle never let time pass")
    func requestsWhileSettling() async throws {
        let clock = ManualClock()
        let broker = InMemoryBroker(clock: clock)
        let bus = responder(on: broker)
        try await bus.withRunning {
            let areSent = Signal()
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask {
                    while !areSent.isRaised { try await broker.settled() }
                }
                group.addTask {
                    defer { areSent.raise() }
                    try await withThrowingTaskGroup(of: Void.self) { senders in
                        for _ in 0..<4 {
                            senders.addTask {
                                for _ in 0..<500 {
                                    let reply = try await bus.request(Asked(), timeout: .seconds(20))
                                    #expect(reply.price == 7)
                                    let error = await #expect(throws: EventBusError.self) {
                                        try await bus.request(Unanswered(), timeout: .seconds(20))
                                    }
                                    #expect(error?.code == .unroutable)
                                }
                            }
                        }
                        try await senders.waitForAll()
                    }
                }
                try await group.waitForAll()
            }
        }
        #expect(clock.now.offset == .zero)
    }

    @Test("When it gives up it names the queue, the handler's event and its duration")
    func description() async throws {
        let broker = InMemoryBroker(clock: ManualClock())
        let bus = EventBus(transport: .inMemory(broker))
        let gate = Signal()
        bus.subscribe(to: Placed.self, group: "g", name: "placed") { _, _ in try await gate.wait() }
        try await bus.withRunning {
            let receipt = try await bus.publish(Placed())
            let error = await #expect(throws: EventBusError.self) {
                try await broker.settled(within: .milliseconds(50))
            }
            for part in ["g.placed", "1 unsettled", receipt.id.rawValue, "order.placed", "attempt 1", "real time"] {
                #expect(error?.message.contains(part) == true, "\(part) in \(error?.message ?? "")")
            }
            gate.raise()
            try await broker.settled()
        }
    }
}

import EventBus
import EventBusInMemory
import EventBusTesting
import InMemoryLogging
import Logging
import Testing

@Suite("An inbox that fails for single events", .timeLimit(.minutes(1)))
struct OddInboxErrorTests {
    static let errors: [any Error & Sendable] = [
        EventBusError(.rejected, "the key is refused"), EventBusError(.decodingFailed, "the row cannot be read"),
        EventBusError(.unavailable, "the shard is away"), ScriptedInbox.StoreError(), CancellationError(),
    ]

    private let clock = ManualClock()
    private let broker: InMemoryBroker
    private let log = InMemoryLogHandler()
    private let handled = Collected<String>()

    init() {
        broker = InMemoryBroker(clock: clock)
    }

    /// Returns a bus that subscribes to orders with an inbox that fails for events with an id that begins with `odd`.
    private func makeBus(_ options: SubscriptionOptions, error: any Error & Sendable) -> EventBus {
        let bus = EventBus(transport: .inMemory(broker), logger: Logger(label: "test") { [log] _ in log })
        var options = options
        options.inbox = ScriptedInbox(clock: clock) { call, key in
            if call == .begin, key.eventID.rawValue.hasPrefix("odd") { throw error }
        }
        bus.subscribe(to: OrderCreated.self, group: "g", name: "orders", options: options) { [handled] order, context in
            #expect(context.attempt == 1)
            handled.add(order.orderID)
        }
        return bus
    }

    private func publish(_ ids: [EventID], on bus: EventBus) async throws {
        for id in ids { try await bus.publish(OrderCreated(orderID: id.rawValue), options: .init(id: id)) }
    }

    @Test(
        "The other events are handled, and the odd ones become dead letters with a reason of their own",
        arguments: [SubscriptionOptions.Ordering.none, .byPartitionKey],
        [1, 16]
    )
    func others(ordering: SubscriptionOptions.Ordering, concurrency: Int) async throws {
        let options = SubscriptionOptions(concurrency: concurrency, retry: .never, ordering: ordering)
        let bus = makeBus(options, error: ScriptedInbox.StoreError())
        try await bus.withRunning {
            try await publish(["odd-1", "1", "2", "odd-2", "3", "4", "5", "6", "odd-3", "7", "8"], on: bus)
            try await eventually("the others are handled") {
                clock.advance(by: .milliseconds(50))
                return handled.all.count == 8
            }
            #expect(try await bus.deadLetters(of: "g").count() == 0)
            try await broker.settled()
            #expect(handled.all.sorted() == (1...8).map { "\($0)" })
            let letters = try await bus.deadLetters(of: "g").entries(limit: 10)
            #expect(letters.map(\.envelope.id.rawValue).sorted() == ["odd-1", "odd-2", "odd-3"])
            #expect(letters.allSatisfy { $0.failure.reason == .inboxFailed })
            #expect(letters.allSatisfy { $0.failure.message.contains("StoreError") })
            #expect(clock.now.offset >= .seconds(3600))
            #expect(bus.health().isReady)
        }
    }

    @Test("Any error counts as the event's own if the inbox answers for others", arguments: errors.indices)
    func anyError(index: Int) async throws {
        let bus = makeBus(SubscriptionOptions(maximumDeferral: .seconds(10)), error: Self.errors[index])
        try await bus.withRunning {
            try await publish(["odd", "1", "2", "3"], on: bus)
            try await broker.settled()
            #expect(handled.all.sorted() == ["1", "2", "3"])
            let letters = try await bus.deadLetters(of: "g").entries(limit: 10)
            #expect(letters.map(\.failure.reason) == [.inboxFailed])
        }
    }

    @Test("An event that is alone with its error pauses nothing, and becomes a dead letter")
    func onlyEvent() async throws {
        let bus = makeBus(SubscriptionOptions(concurrency: 1), error: ScriptedInbox.StoreError())
        try await bus.withRunning {
            try await publish(["odd"], on: bus)
            try await broker.settled()
            #expect(try await bus.deadLetters(of: "g").entries(limit: 10).map(\.failure.reason) == [.inboxFailed])
            #expect(!log.entries.contains { "\($0.message)".contains("the subscription pauses") })
        }
    }

    @Test("An outage longer than the deferral of single events makes no dead letter")
    func longOutage() async throws {
        let inbox = ScriptedInbox(clock: clock) { [clock] call, _ in
            if call == .begin, clock.now.offset < .seconds(600) { throw EventBusError(.unavailable, "away") }
        }
        let bus = EventBus(transport: .inMemory(broker))
        let options = SubscriptionOptions(inbox: inbox, maximumDeferral: .seconds(10))
        bus.subscribe(to: OrderCreated.self, group: "g", options: options) { [handled] order, _ in
            handled.add(order.orderID)
        }
        try await bus.withRunning {
            try await publish(["odd", "1", "2"], on: bus)
            try await broker.settled()
            #expect(handled.all.sorted() == ["1", "2", "odd"])
            #expect(try await bus.deadLetters(of: "g").count() == 0)
        }
    }

    @Test("A pause ends although the only event that asks again has an error of its own")
    func endOfPause() async throws {
        let inbox = ScriptedInbox(clock: clock) { [clock] call, key in
            if call == .begin, clock.now.offset < .seconds(60) || key.eventID == "odd" { throw Broken() }
        }
        let bus = EventBus(transport: .inMemory(broker))
        let options = SubscriptionOptions(inbox: inbox, maximumDeferral: .seconds(10))
        bus.subscribe(to: OrderCreated.self, group: "g", options: options) { _, _ in Issue.record("it was handled") }
        try await bus.withRunning {
            try await publish(["odd"], on: bus)
            try await eventually("the pause") { bus.health().reason.contains("paused") }
            try await broker.settled()
            #expect(bus.health().isReady)
            #expect(try await bus.deadLetters(of: "g").entries(limit: 10).map(\.failure.reason) == [.inboxFailed])
        }
    }

    @Test("An odd event behind which others wait holds up its own key only")
    func ownKey() async throws {
        let options = SubscriptionOptions(concurrency: 2, ordering: .byPartitionKey, maximumDeferral: .seconds(30))
        let bus = makeBus(options, error: ScriptedInbox.StoreError())
        try await bus.withRunning {
            let key = PublishOptions(partitionKey: "a", id: "odd")
            try await bus.publish(OrderCreated(orderID: "odd"), options: key)
            for number in 0..<3 {
                try await bus.publish(OrderCreated(orderID: "a\(number)"), options: .init(partitionKey: "a"))
            }
            for number in 0..<3 { try await bus.publish(OrderCreated(orderID: "b\(number)")) }
            try await eventually("the other keys") {
                clock.advance(by: .milliseconds(50))
                return handled.all.count >= 3
            }
            #expect(Set(handled.all) == ["b0", "b1", "b2"])
            try await broker.settled()
            #expect(handled.all.suffix(3) == ["a0", "a1", "a2"])
        }
    }

    @Test("One log line a minute and a remark in health tell of them, and the subscription stays ready")
    func health() async throws {
        let bus = makeBus(SubscriptionOptions(), error: ScriptedInbox.StoreError())
        try await bus.withRunning {
            try await publish(["odd-1"] + (1...40).map { EventID("\($0)") }, on: bus)
            try await eventually("the others are handled") {
                clock.advance(by: .milliseconds(50))
                return handled.all.count == 40
            }
            try await eventually("the remark") {
                clock.advance(by: .milliseconds(50))
                let remark = bus.health().components.first { $0.name == "subscription.g.orders" }?.reason
                return bus.health().isReady && remark?.contains("StoreError") == true
            }
            #expect(log.entries.count { "\($0.message)".contains("for some events alone") } == 1)
        }
    }
}

/// A collection that several tasks append to.
final class Collected<Element: Sendable>: Sendable {
    private let state = Locked<[Element]>([])

    var all: [Element] { state.withLock { $0 } }

    func add(_ element: Element) { state.withLock { $0.append(element) } }
}

import EventBus
import EventBusInMemory
import EventBusTesting
import Testing

@Suite("The identity of events that a handler publishes", .timeLimit(.minutes(1)))
struct DerivedIdentityTests {
    private struct OrderShipped: Event {
        static let topic: Topic = "order.shipped"
        var orderID: String
    }

    /// Handles one order with `options`, in as many attempts as `handler` needs, and returns the identities that each
    /// attempt published.
    private func identities(
        options: SubscriptionOptions = .init(retry: .fixed(.seconds(1), maximumAttempts: 5)),
        order: EventID = "order-1",
        name: String = "orders",
        attempts: Int = 2,
        _ publish: @escaping @Sendable (EventBus, EventContext) async throws -> [EventID]
    ) async throws -> [[EventID]] {
        let broker = InMemoryBroker(clock: ManualClock())
        let bus = EventBus(transport: .inMemory(broker))
        let published = Locked<[[EventID]]>([])
        bus.subscribe(to: OrderCreated.self, group: "g", name: name, options: options) { [bus] _, context in
            let identities = try await publish(bus, context)
            published.withLock { $0.append(identities) }
            if context.attempt < attempts { throw Broken() }
        }
        try await bus.withRunning {
            try await bus.publish(OrderCreated(orderID: "1"), options: .init(id: order))
            try await broker.settled()
        }
        return published.withLock { $0 }
    }

    @Test("Every attempt publishes the same events under the same identities", arguments: [false, true])
    func same(byKey: Bool) async throws {
        let options = SubscriptionOptions(
            retry: .fixed(.seconds(1), maximumAttempts: 5),
            ordering: byKey ? .byPartitionKey : .none
        )
        let attempts = try await identities(options: options, attempts: 3) { bus, _ in
            let first = try await bus.publish(OrderConfirmed(orderID: "1")).id
            let batch = try await bus.publish(contentsOf: [OrderConfirmed(orderID: "1"), OrderConfirmed(orderID: "2")])
            let stored = try bus.envelope(for: OrderConfirmed(orderID: "3")).id
            return try [first] + batch.map { try $0.get().id } + [stored]
        }
        #expect(attempts.count == 3)
        #expect(Set(attempts).count == 1)
        #expect(Set(attempts[0]).count == 4, "equal events of one attempt have identities of their own")
        let version = /[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}/
        #expect(attempts[0].allSatisfy { $0.rawValue.wholeMatch(of: version) != nil })
    }

    @Test("An attempt that decides differently publishes under other identities")
    func different() async throws {
        let attempts = try await identities { bus, context in
            [
                try await bus.publish(OrderConfirmed(orderID: "\(context.attempt)")).id,
                try await bus.publish(
                    OrderConfirmed(orderID: "1"),
                    options: .init(partitionKey: "\(context.attempt)")
                ).id,
                try await bus.publish(OrderShipped(orderID: "\(context.attempt)")).id,
            ]
        }
        #expect(Set(attempts.joined()).count == 6)
    }

    @Test("Another event, another subscription and another topic lead to other identities")
    func separate() async throws {
        let publish: @Sendable (EventBus, EventContext) async throws -> [EventID] = { bus, _ in
            [
                try await bus.publish(OrderConfirmed(orderID: "1")).id,
                try await bus.publish(OrderShipped(orderID: "1")).id,
            ]
        }
        let one = try await identities(attempts: 1, publish)
        let otherOrder = try await identities(order: "order-2", attempts: 1, publish)
        let otherName = try await identities(name: "others", attempts: 1, publish)
        #expect(Set((one + otherOrder + otherName).joined()).count >= 6)
        #expect(Set(one.joined()).isDisjoint(with: otherOrder.joined()))
    }

    @Test("A given identity, a broadcast and the option lead to no derived identity")
    func exceptions() async throws {
        let given = try await identities { bus, _ in
            [try await bus.publish(OrderConfirmed(orderID: "1"), options: .init(id: "mine")).id]
        }
        #expect(given == [["mine"], ["mine"]])
        for change in 0..<2 {
            var options = SubscriptionOptions(retry: .fixed(.seconds(1), maximumAttempts: 5), broadcast: change == 0)
            options.derivesEventIDs = change == 0
            let attempts = try await identities(
                options: options,
                order: EventID("order-\(change)"),
                name: "n\(change)"
            ) { bus, _ in [try await bus.publish(OrderConfirmed(orderID: "1")).id] }
            #expect(Set(attempts.joined()).count == 2)
        }
    }

    @Test("A task that outlives its handler publishes under new identities")
    func outliving() async throws {
        let mayContinue = Signal()
        let tasks = Locked<[Task<EventID, any Error>]>([])
        _ = try await identities { bus, _ in
            let task = Task {
                try await mayContinue.wait()
                return try bus.envelope(for: OrderConfirmed(orderID: "1")).id
            }
            tasks.withLock { $0.append(task) }
            return []
        }
        mayContinue.raise()
        var late: Set<EventID> = []
        for task in tasks.withLock({ $0 }) { late.insert(try await task.value) }
        #expect(late.count == 2)
    }

    @Test("Equal events with other headers, delays or expirations keep their identities in any order")
    func options() async throws {
        let options: [PublishOptions] = [
            .init(), .init(headers: ["tenant": "a"]), .init(headers: ["tenant": "b"]), .init(headers: ["tenant": 1]),
            .init(delay: .seconds(60)), .init(delay: .seconds(3600)), .init(expiration: .seconds(60)),
            .init(expiration: .seconds(3600)),
        ]
        let attempts = try await identities { bus, context in
            let indices = context.attempt == 1 ? Array(options.indices) : options.indices.reversed()
            var published = options.map { _ in EventID() }
            for index in indices {
                published[index] = try await bus.publish(OrderConfirmed(orderID: "1"), options: options[index]).id
            }
            return published
        }
        #expect(attempts.count == 2)
        #expect(attempts.first == attempts.last)
        #expect(Set(attempts.joined()).count == options.count)
    }

    @Test("The trace of an attempt changes no identity")
    func traces() async throws {
        let attempts = try await identities { bus, context in
            let headers: EventHeaders = [
                "traceparent": .string("\(context.attempt)"), "tracestate": "a", "baggage": "b",
            ]
            let traced = try await bus.publish(OrderConfirmed(orderID: "1"), options: .init(headers: headers)).id
            return [traced, try await bus.publish(OrderConfirmed(orderID: "2")).id]
        }
        #expect(Set(attempts).count == 1)
        let plain = try await identities { bus, _ in
            [
                try await bus.publish(OrderConfirmed(orderID: "1")).id,
                try await bus.publish(OrderConfirmed(orderID: "2")).id,
            ]
        }
        #expect(plain == attempts)
    }

    @Test("An event that is published again after an error keeps its identity", arguments: [false, true])
    func repeated(inBatch: Bool) async throws {
        let sent = Locked<[EventID]>([])
        var transport = ForwardingTransport(to: .inMemory(InMemoryBroker(clock: ManualClock())))
        transport.onPublish = { base, envelope, options in
            let outcome = try await base.publish(envelope, options: options)
            guard envelope.topic == OrderConfirmed.topic else { return outcome }
            let count = sent.withLock { sent in
                sent.append(envelope.id)
                return sent.count
            }
            // The broker has the second event, but the publisher does not know.
            if count == 2 { throw EventBusError(.indeterminate, "the connection was lost") }
            return outcome
        }
        let bus = EventBus(transport: transport)
        let attempts = Locked<[[EventID]]>([])
        let handled = Signal()
        let retry = RetryPolicy.fixed(.zero, maximumAttempts: 2)
        bus.subscribe(to: OrderCreated.self, group: "g", options: .init(retry: retry)) { _, context in
            var published: [EventID] = []
            for _ in 0..<3 {
                while true {
                    let event = OrderConfirmed(orderID: "1")
                    do {
                        if inBatch {
                            let results = try await bus.publish(contentsOf: [event])
                            published.append(try results[0].get().id)
                        } else {
                            published.append(try await bus.publish(event).id)
                        }
                        break
                    } catch {
                        continue
                    }
                }
            }
            let all = published
            attempts.withLock { $0.append(all) }
            if context.attempt == 1 { throw Broken() }
            handled.raise()
        }
        try await bus.withRunning {
            try await bus.publish(OrderCreated(orderID: "1"))
            try await handled.wait()
        }
        let (first, second) = attempts.withLock { ($0[0], $0[1]) }
        #expect(first == second)
        #expect(Set(first).count == 3)
        #expect(sent.withLock { Array($0.prefix(4)) } == [first[0], first[1], first[1], first[2]])
    }

    @Test("A crash after publishing has one effect in a subscriber with an inbox, and two without derived identities")
    func oneEffect() async throws {
        for derives in [true, false] {
            let broker = InMemoryBroker(clock: ManualClock())
            let bus = EventBus(transport: .inMemory(broker))
            var options = SubscriptionOptions(retry: .fixed(.seconds(1), maximumAttempts: 5))
            options.derivesEventIDs = derives
            bus.subscribe(to: OrderCreated.self, group: "g\(derives)", options: options) { order, context in
                try await bus.publish(OrderConfirmed(orderID: order.orderID))
                if context.attempt == 1 { throw Broken() }
            }
            let effects = Locked(0)
            let inbox = SubscriptionOptions(inbox: broker.makeInbox())
            bus.subscribe(to: OrderConfirmed.self, group: "h\(derives)", options: inbox) { _, _ in
                effects.withLock { $0 += 1 }
            }
            try await bus.withRunning {
                for number in 0..<100 { try await bus.publish(OrderCreated(orderID: "\(number)")) }
                try await broker.settled()
                #expect(effects.withLock { $0 } == (derives ? 100 : 200))
            }
        }
    }
}

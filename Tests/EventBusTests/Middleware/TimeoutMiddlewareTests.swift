import EventBus
import EventBusInMemory
import EventBusTesting
import Testing

@Suite("Timeout", .timeLimit(.minutes(1)))
struct TimeoutMiddlewareTests {
    @Test("A time limit shorter than that of the subscription applies, and the event is retried")
    func strikes() async throws {
        let clock = ManualClock()
        let broker = InMemoryBroker(clock: clock)
        let bus = EventBus(transport: .inMemory(broker))
        let began = Locked<[Int]>([])
        let recovered = Signal()
        bus.subscribe(
            to: OrderCreated.self,
            group: "g",
            options: .init(
                retry: .fixed(.zero, maximumAttempts: 2),
                handlerTimeout: .seconds(60),
                middleware: [try TimeoutMiddleware(.seconds(2))]
            )
        ) { _, context in
            began.withLock { $0.append(context.attempt) }
            if context.attempt == 1 { try await Signal().wait() }
            recovered.raise()
        }
        try await bus.withRunning {
            try await bus.publish(OrderCreated(orderID: "1"))
            try await eventually("the first attempt") { began.withLock { $0 } == [1] }
            try await eventually("the limit strikes") {
                if recovered.isRaised { return true }
                clock.advance(by: .milliseconds(100))
                return false
            }
            #expect(began.withLock { $0 } == [1, 2])
            #expect(clock.now.offset < .seconds(60))
        }
    }

    @Test("The wait of an event for its batch is not part of any time limit around it")
    func batchWait() async throws {
        let clock = ManualClock()
        let broker = InMemoryBroker(clock: clock)
        let bus = EventBus(transport: .inMemory(broker))
        let (first, returned, proceed, cancelled) = (Signal(), Signal(), Signal(), Signal())
        let handled = Locked<[String]>([])
        let subscription = bus.subscribe(
            toBatchesOf: OrderCreated.self,
            group: "g",
            maximumCount: 2,
            within: .milliseconds(50),
            options: .init(
                retry: .never,
                handlerTimeout: .seconds(10),
                middleware: [
                    Around { context, next in
                        try await next(context)
                        guard context.envelope.partitionKey == "2" else { return }
                        returned.raise()
                        do {
                            try await proceed.wait()
                        } catch {
                            cancelled.raise()
                            throw error
                        }
                    },
                    try TimeoutMiddleware(.seconds(9)),
                ]
            ),
            handler: { batch in
                handled.withLock { $0.append(batch[0].event.orderID) }
                if batch[0].event.orderID == "1" { try await first.wait() }
            }
        )
        try await bus.withRunning {
            for number in 1...2 {
                try await bus.publish(OrderCreated(orderID: "\(number)"))
                try await eventually("the event is in a batch") { subscription.health.details["running"] == number }
                try await clock.sleeper(dueBy: clock.now.advanced(by: .milliseconds(50)))
                clock.advance(by: .milliseconds(50))
                if number == 1 { try await eventually("the first batch runs") { handled.withLock { $0 } == ["1"] } }
            }
            clock.advance(by: .seconds(8))
            first.raise()
            try await returned.wait()
            // Both limits would be over if the wait counted. The inner one is, and the outer one has a second left.
            clock.advance(by: .seconds(9))
            try await eventually("the limits are checked") {
                let left = clock.nextSleeperOffset.map { $0 - clock.now.offset } ?? .zero
                return cancelled.isRaised || (left > .zero && left <= .seconds(1))
            }
            #expect(!cancelled.isRaised)
            proceed.raise()
            try await broker.settled()
            #expect(try await bus.deadLetters(of: "g").entries().map(\.failure.message) == [])
        }
    }

    @Test("The time that an inbox takes to record an effect is not part of any time limit")
    func slowRecord() async throws {
        let clock = ManualClock()
        let broker = InMemoryBroker(clock: clock)
        let bus = EventBus(transport: .inMemory(broker))
        let (recording, recorded, returned, proceed, cancelled) = (Signal(), Signal(), Signal(), Signal(), Signal())
        let inbox = ScriptedInbox(clock: clock) { call, _ in
            guard call == .complete, !recording.isRaised else { return }
            recording.raise()
            try await recorded.wait()
        }
        bus.subscribe(
            to: OrderCreated.self,
            group: "g",
            options: .init(
                retry: .never,
                handlerTimeout: .seconds(5),
                inbox: inbox,
                middleware: [
                    Around { context, next in
                        try await next(context)
                        returned.raise()
                        do {
                            try await proceed.wait()
                        } catch {
                            cancelled.raise()
                            throw error
                        }
                    },
                    try TimeoutMiddleware(.seconds(4)),
                ]
            )
        ) { _, _ in }
        try await bus.withRunning {
            try await bus.publish(OrderCreated(orderID: "1"))
            try await recording.wait()
            clock.advance(by: .seconds(6))
            recorded.raise()
            try await returned.wait()
            // The limits are checked when those of another event would be over.
            try await bus.publish(OrderCreated(orderID: "2"))
            try await eventually("the other event waits") { inbox.counts.completions == 2 }
            clock.advance(by: .seconds(4))
            try await eventually("the limits are checked") {
                let left = clock.nextSleeperOffset.map { $0 - clock.now.offset } ?? .zero
                return cancelled.isRaised || (left > .zero && left <= .seconds(1))
            }
            #expect(!cancelled.isRaised)
            proceed.raise()
            try await broker.settled()
            #expect(try await bus.deadLetters(of: "g").entries().map(\.failure.message) == [])
        }
    }

    @Test("A middleware that handles an event again with an inbox does so under the same limit")
    func handledAgain() async throws {
        let clock = ManualClock()
        let broker = InMemoryBroker(clock: clock)
        let bus = EventBus(transport: .inMemory(broker))
        let calls = Locked(0)
        bus.subscribe(
            to: OrderCreated.self,
            group: "g",
            options: .init(
                retry: .never,
                handlerTimeout: .seconds(5),
                inbox: InMemoryInbox(clock: clock),
                middleware: [
                    Around { context, next in
                        do { try await next(context) } catch { try await next(context) }
                    }
                ]
            )
        ) { _, _ in
            let call = calls.withLock { calls in
                calls += 1
                return calls
            }
            if call == 1 { throw Broken() }
            try await Signal().wait()
        }
        try await bus.withRunning {
            try await bus.publish(OrderCreated(orderID: "1"))
            try await eventually("the second call") { calls.withLock { $0 } == 2 }
            clock.advance(by: .seconds(6))
            try await eventually("the limit strikes", within: .seconds(5)) {
                try await bus.deadLetters(of: "g").count() == 1
            }
            let letter = try #require(try await bus.deadLetters(of: "g").entries(limit: 1).first)
            #expect(letter.failure.message.contains("longer than its limit of 5"))
        }
    }
}

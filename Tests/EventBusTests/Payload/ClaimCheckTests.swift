import EventBus
import EventBusInMemory
import EventBusTesting
import Testing

@Suite("Claim check", .timeLimit(.minutes(1)))
struct ClaimCheckTests {
    private let broker = InMemoryBroker(clock: ManualClock())
    private let store = FaultyStore()
    private let handled = Collected<Letter>()
    private let large = Letter(text: String(repeating: "x", count: 500))

    private func bus(_ configure: (inout EventBusConfiguration) -> Void = { _ in }) -> EventBus {
        var configuration = EventBusConfiguration()
        configuration.claimCheck = ClaimCheck(store: store, threshold: 100)
        configure(&configuration)
        let bus = EventBus(transport: .inMemory(broker), configuration: configuration)
        bus.subscribe(to: Letter.self, group: "readers", retry: .never) { letter, context in
            #expect(context.attempt == 1)
            #expect(context.envelope.contentEncoding == nil)
            handled.add(letter)
        }
        return bus
    }

    @Test("Only large bodies are stored, alone and in a batch, and the broker has their names")
    func threshold() async throws {
        let recorder = EventRecorder()
        let bus = bus { $0.consumeMiddleware.append(recorder) }
        try await bus.withRunning {
            try await bus.publish(large)
            for result in try await bus.publish(contentsOf: [Letter(text: "small"), large]) {
                _ = try result.get()
            }
            try await broker.settled()
        }
        #expect(handled.all.map(\.text.count).sorted() == [5, 500, 500])
        #expect(store.base.all.count == 2)
        #expect(recorder.settled.map(\.envelope.payload.count).sorted() == [16, 64, 64])
        let claims = recorder.settled.filter { $0.envelope.contentEncoding == "claim-check" }
        #expect(claims.count == 2)
        for delivery in claims {
            let redeemed = try await ClaimCheck(store: store).redeemed(delivery.envelope)
            #expect(try JSONEventCodec().decode(Letter.self, from: redeemed.payload) == large)
        }
    }

    @Test("An event that is published again has the same name in the store")
    func repeated() async throws {
        let bus = bus()
        let envelope = try bus.envelope(for: large)
        try await bus.withRunning {
            try await bus.publish(envelope)
            try await bus.publish(envelope)
            try await broker.settled()
        }
        #expect(store.base.all.count == 1)
        #expect(handled.all == [large, large])
    }

    @Test(
        "While the store is unavailable, the events that need it are deferred without an attempt, others handled"
    )
    func outage() async throws {
        let bus = bus()
        try await bus.withRunning {
            store.failures.withLock { $0 = 3 }
            try await bus.publish(large)
            try await bus.publish(Letter(text: "small"))
            try await broker.settled()
            #expect(try await bus.deadLetters(of: "readers").count() == 0)
        }
        #expect(handled.all == [Letter(text: "small"), large])
    }

    @Test("A publish whose body cannot be stored throws, and sends nothing")
    func publishing() async throws {
        let bus = bus()
        store.refuses.withLock { $0 = EventBusError(.tooLarge, "too large") }
        try await bus.withRunning {
            await #expect { try await bus.publish(large) } throws: {
                ($0 as? EventBusError)?.code == .tooLarge
            }
            store.refuses.withLock { $0 = Broken() }
            await #expect { try await bus.publish(large) } throws: { error in
                (error as? EventBusError)?.code == .unavailable && "\(error)".contains("broken")
            }
            try await broker.settled()
        }
        #expect(handled.all.isEmpty)
    }

    @Test(
        "A missing body, one that was changed, and one of another event are dead-lettered with the reason"
    )
    func unusable() async throws {
        let bus = bus()
        let other = EventBus(transport: .inMemory(broker))
        try await bus.withRunning {
            try await other.withRunning {
                store.loses.withLock { $0 = true }
                try await bus.publish(large)
                try await broker.settled()
                store.loses.withLock { $0 = false }
                store.changes.withLock { $0 = true }
                try await bus.publish(large)
                try await broker.settled()
                store.changes.withLock { $0 = false }
                let name = try #require(store.base.all.keys.first)
                for payload in [name.rawValue, "../../../etc/passwd", String(repeating: "é", count: 32)] {
                    try await other.publish(
                        Envelope(
                            topic: Letter.topic,
                            payload: Array(payload.utf8),
                            contentEncoding: "claim-check"
                        )
                    )
                }
                try await broker.settled()
                let letters = try await bus.deadLetters(of: "readers").entries()
                #expect(letters.allSatisfy { $0.failure.reason == .undecodable })
                let messages = letters.map(\.failure.message)
                #expect(messages.count == 5)
                #expect(messages.count { $0.contains("not in the store") } == 1)
                #expect(messages.count { $0.contains("is damaged, or is not that of") } == 2)
                #expect(messages.count { $0.contains("is no name of a stored body") } == 2)
            }
        }
        #expect(handled.all.isEmpty)
    }

    @Test("A store that ignores cancellation delays a publish no longer than its deadline")
    func silentOnPublish() async throws {
        let clock = ManualClock()
        let store = SilentStore()
        defer { store.mayAnswer.raise() }
        var configuration = EventBusConfiguration()
        configuration.claimCheck = ClaimCheck(store: store, threshold: 100)
        let bus = EventBus(transport: .inMemory(InMemoryBroker(clock: clock)), configuration: configuration)
        try await bus.withRunning {
            let outcomes = Collected<EventBusError.Code?>()
            let cancelled = Task {
                do { try await bus.publish(large) } catch is CancellationError { outcomes.add(nil) }
            }
            try await store.asked.wait()
            cancelled.cancel()
            try await eventually("the cancelled publish ends", within: .seconds(5)) { outcomes.all == [nil] }
            Task {
                do {
                    try await bus.publish(large, options: .init(deadline: .seconds(5)))
                } catch let error as EventBusError {
                    outcomes.add(error.code)
                }
            }
            try await clock.sleeper(dueBy: clock.now.advanced(by: .seconds(5)))
            clock.advance(by: .seconds(5))
            try await eventually("the publish ends", within: .seconds(5)) { outcomes.all == [nil, .unavailable] }
            store.mayAnswer.raise()
        }
    }

    @Test("A silent store holds up no other event of a batch beyond half of its time, and is named in the error")
    func silentInBatch() async throws {
        let clock = ManualClock()
        let broker = InMemoryBroker(clock: clock)
        let store = SilentStore()
        defer { store.mayAnswer.raise() }
        var configuration = EventBusConfiguration()
        configuration.claimCheck = ClaimCheck(store: store, threshold: 100)
        configuration.publishMiddleware = [PassingMiddleware()]
        let bus = EventBus(transport: .inMemory(broker), configuration: configuration)
        bus.subscribe(to: Letter.self, group: "readers") { letter, _ in handled.add(letter) }
        let small = (0..<11).map { Letter(text: "\($0)") }
        try await bus.withRunning {
            async let published = bus.publish(
                contentsOf: [small[0], large] + small.dropFirst(),
                options: .init(deadline: .seconds(10))
            )
            try await store.asked.wait()
            try await clock.sleeper(dueBy: clock.now.advanced(by: .seconds(5)))
            clock.advance(by: .seconds(5))
            let results = try await published
            #expect(clock.now.offset == .seconds(5))
            for (index, result) in results.enumerated() where index != 1 {
                #expect(try result.get().outcome == .routed)
            }
            #expect {
                try results[1].get()
            } throws: { error in
                (error as? EventBusError)?.code == .unavailable && "\(error)".contains("store of large bodies")
            }
            try await eventually("the small ones are handled") { handled.all.count == small.count }
            store.mayAnswer.raise()
        }
    }

    @Test("The bodies of a batch are stored concurrently, at most 16 at a time, and the events are sent in order")
    func concurrentBodies() async throws {
        let store = CountingStore(expected: 16)
        var configuration = EventBusConfiguration()
        configuration.claimCheck = ClaimCheck(store: store, threshold: 100)
        let bus = EventBus(transport: .inMemory(broker), configuration: configuration)
        bus.subscribe(to: Letter.self, group: "readers", options: .init(concurrency: 1)) { letter, _ in
            handled.add(letter)
        }
        let letters = (0..<40).map { Letter(text: "\($0) " + large.text) }
        try await bus.withRunning {
            for result in try await bus.publish(contentsOf: letters) { _ = try result.get() }
            try await broker.settled()
        }
        #expect(handled.all == letters)
        #expect(store.most == 16)
    }

    @Test("After a store was silent once, the next events that need it are deferred at once")
    func silentAgain() async throws {
        let store = SilentStore()
        defer { store.mayAnswer.raise() }
        var configuration = EventBusConfiguration()
        configuration.claimCheck = ClaimCheck(store: store.base, threshold: 100)
        let publisher = EventBus(transport: .inMemory(broker), configuration: configuration)
        configuration.claimCheck = ClaimCheck(store: store, threshold: 100)
        let bus = EventBus(transport: .inMemory(broker), configuration: configuration)
        let options = SubscriptionOptions(concurrency: 1)
        let subscription = bus.subscribe(to: Letter.self, group: "readers", options: options) { letter, _ in
            handled.add(letter)
        }
        let clock = broker.clock
        try await publisher.withRunning {
            try await bus.withRunning {
                try await publisher.publish(large)
                try await store.asked.wait()
                try await eventually("the first silence ends", within: .seconds(10)) {
                    await clock.advance(to: clock.now.advanced(by: .seconds(1)))
                    return subscription.health.details["deferred"] == 1
                }
                for number in 0..<5 { try await publisher.publish(Letter(text: "\(number) " + large.text)) }
                let time = clock.now
                try await publisher.publish(Letter(text: "small"))
                // With one worker, and without a step of the clock.
                try await eventually("the small letter is handled", within: .seconds(10)) {
                    handled.all == [Letter(text: "small")]
                }
                #expect(clock.now == time)
                store.mayAnswer.raise()
                try await broker.settled()
                #expect(handled.all.count == 7)
            }
        }
    }

    @Test("A handler that publishes through a silent store uses up no attempt")
    func silentInHandler() async throws {
        let store = SilentStore()
        defer { store.mayAnswer.raise() }
        let bus = bus { $0.claimCheck = ClaimCheck(store: store, threshold: 100) }
        let attempts = Collected<Int>()
        bus.subscribe(to: Summoned.self, group: "writers", options: .init(retry: .never)) { _, context in
            attempts.add(context.attempt)
            try await bus.publish(large, options: .init(deadline: .seconds(5)))
        }
        let clock = broker.clock
        try await bus.withRunning {
            try await bus.publish(Summoned())
            try await eventually("several attempts", within: .seconds(10)) {
                await clock.advance(to: clock.now.advanced(by: .seconds(1)))
                return attempts.all.count >= 3
            }
            store.mayAnswer.raise()
            try await eventually("the letter is handled", within: .seconds(10)) {
                await clock.advance(to: clock.now.advanced(by: .seconds(1)))
                return handled.all.contains(large)
            }
            #expect(attempts.all.allSatisfy { $0 == 1 })
            #expect(try await bus.deadLetters(of: "writers").count() == 0)
        }
    }

    private struct Summoned: Event {
        static let topic: Topic = "letter.summoned"
    }

    @Test("A store that ignores cancellation defers the events that need it, and blocks a worker for its limit only")
    func silentOnReading() async throws {
        let store = SilentStore()
        defer { store.mayAnswer.raise() }
        let publisher = EventBus(
            transport: .inMemory(broker),
            configuration: {
                var configuration = EventBusConfiguration()
                configuration.claimCheck = ClaimCheck(store: store.base, threshold: 100)
                return configuration
            }()
        )
        var configuration = EventBusConfiguration()
        configuration.claimCheck = ClaimCheck(store: store, threshold: 100)
        let bus = EventBus(transport: .inMemory(broker), configuration: configuration)
        let options = SubscriptionOptions(concurrency: 1)
        bus.subscribe(to: Letter.self, group: "readers", options: options) { letter, context in
            #expect(context.attempt == 1)
            handled.add(letter)
        }
        try await publisher.withRunning {
            try await bus.withRunning {
                try await publisher.publish(large)
                try await store.asked.wait()
                try await publisher.publish(Letter(text: "small"))
                let clock = broker.clock
                try await eventually("the small letter is handled", within: .seconds(10)) {
                    await clock.advance(to: clock.now.advanced(by: .seconds(1)))
                    return handled.all == [Letter(text: "small")]
                }
                store.mayAnswer.raise()
                try await broker.settled()
                #expect(handled.all.last == large)
            }
        }
    }

    @Test("A bus without a claim check dead-letters such an event, and names the encoding")
    func unknown() async throws {
        let bus = bus { $0.claimCheck = nil }
        try await bus.withRunning {
            let payload = Array(String(repeating: "a", count: 64).utf8)
            try await bus.publish(
                Envelope(topic: Letter.topic, payload: payload, contentEncoding: "claim-check")
            )
            try await broker.settled()
            let letter = try #require(try await bus.deadLetters(of: "readers").entries().first)
            #expect(letter.failure.message.contains("claim-check"))
        }
    }
}

private struct Letter: Event, Equatable {
    static let topic: Topic = "letter.written"
    var text: String
}

/// A store that fails as it is told.
private final class FaultyStore: ClaimCheckStore {
    let base = InMemoryClaimCheckStore()
    /// The number of reads that fail.
    let failures = Locked(0)
    let refuses = Locked<(any Error)?>(nil)
    let loses = Locked(false)
    let changes = Locked(false)

    func put(_ body: [UInt8], named name: ClaimCheckName) async throws {
        if let error = refuses.withLock({ $0 }) { throw error }
        try await base.put(body, named: name)
    }

    func get(_ name: ClaimCheckName) async throws -> [UInt8]? {
        let fails = failures.withLock { failures in
            failures -= 1
            return failures >= 0
        }
        if fails { throw Broken() }
        if loses.withLock({ $0 }) { return nil }
        let body = try await base.get(name)
        return changes.withLock { $0 } ? body.map { $0 + [0] } : body
    }

    func remove(_ name: ClaimCheckName) async throws { try await base.remove(name) }
}

/// Middleware of a user that changes nothing.
private struct PassingMiddleware: PublishMiddleware {
    func publish(_ event: OutgoingEvent, next: PublishNext) async throws -> PublishReceipt { try await next(event) }
}

/// A store whose first calls wait until an expected number of them is under way, and that counts them.
private final class CountingStore: ClaimCheckStore {
    private let base = InMemoryClaimCheckStore()
    private let expected: Int
    private let reached = Signal()
    private let calls = Locked((current: 0, most: 0))

    init(expected: Int) { self.expected = expected }

    /// The largest number of calls that were under way at the same time.
    var most: Int { calls.withLock { $0.most } }

    func put(_ body: [UInt8], named name: ClaimCheckName) async throws {
        let most = calls.withLock { calls in
            calls.current += 1
            calls.most = max(calls.most, calls.current)
            return calls.most
        }
        defer { calls.withLock { $0.current -= 1 } }
        if most == expected { reached.raise() }
        try await reached.wait()
        try await base.put(body, named: name)
    }

    func get(_ name: ClaimCheckName) async throws -> [UInt8]? { try await base.get(name) }

    func remove(_ name: ClaimCheckName) async throws { try await base.remove(name) }
}

/// A store that does not answer before it may, and ignores cancellation.
private final class SilentStore: ClaimCheckStore {
    let base = InMemoryClaimCheckStore()
    let asked = Signal()
    let mayAnswer = Signal()

    private func wait() async {
        asked.raise()
        await withoutCancellation { [mayAnswer] in try? await mayAnswer.wait() }
    }

    func put(_ body: [UInt8], named name: ClaimCheckName) async throws {
        await wait()
        try await base.put(body, named: name)
    }

    func get(_ name: ClaimCheckName) async throws -> [UInt8]? {
        await wait()
        return try await base.get(name)
    }

    func remove(_ name: ClaimCheckName) async throws { try await base.remove(name) }
}

import EventBus
import EventBusInMemory
import EventBusTesting
import Testing

@Suite("Batches", .timeLimit(.minutes(1)))
struct BatchTests {
    private let clock = ManualClock()
    private let broker: InMemoryBroker
    private let batches = Collected<[Int]>()

    init() { broker = InMemoryBroker(clock: clock) }

    private func bus() -> EventBus { EventBus(transport: .inMemory(broker)) }

    private func note(_ batch: [BatchedEvent<Numbered>]) -> [Int] {
        let numbers = batch.map(\.event.number)
        batches.add(numbers)
        return numbers
    }

    private func publish(_ numbers: ClosedRange<Int>, on bus: EventBus) async throws {
        for result in try await bus.publish(contentsOf: numbers.map { Numbered($0) }) { _ = try result.get() }
    }

    @Test("A full batch is handled immediately, and the rest when its time is over, which settled() advances to")
    func collecting() async throws {
        let bus = bus()
        let times = Locked<[Duration]>([])
        let start = broker.clock.now
        bus.subscribe(toBatchesOf: Numbered.self, group: "search", maximumCount: 4, within: .milliseconds(50)) {
            batch in
            _ = note(batch)
            times.withLock { $0.append(start.duration(to: broker.clock.now)) }
        }
        try await bus.withRunning {
            try await publish(1...10, on: bus)
            try await broker.settled()
        }
        #expect(batches.all.map(\.count) == [4, 4, 2])
        #expect(Set(batches.all.joined()) == Set(1...10))
        #expect(times.withLock { $0 } == [.zero, .zero, .milliseconds(50)])
    }

    @Test("Batches are handled one after another, or as many at once as the concurrency says", arguments: [1, 3])
    func concurrency(_ concurrency: Int) async throws {
        let bus = bus()
        let running = Locked((now: 0, most: 0))
        let gate = Signal()
        bus.subscribe(
            toBatchesOf: Numbered.self,
            group: "search",
            maximumCount: 2,
            within: .milliseconds(50),
            concurrency: concurrency
        ) { batch in
            let isFull = running.withLock { running in
                running.now += 1
                running.most = max(running.most, running.now)
                return running.now == concurrency
            }
            if isFull { gate.raise() }
            try await gate.wait()
            _ = note(batch)
            running.withLock { $0.now -= 1 }
        }
        try await bus.withRunning {
            try await publish(1...12, on: bus)
            try await broker.settled()
        }
        #expect(batches.all.map(\.count) == [2, 2, 2, 2, 2, 2])
        #expect(running.withLock { $0.most } == concurrency)
    }

    @Test("Batches that are not full, and failed events, wait for a running batch and collect others meanwhile")
    func concurrencyOfSmallBatches() async throws {
        let bus = bus()
        let running = Locked((now: 0, most: 0))
        let gate = Locked(Signal())
        let subscription = bus.subscribe(
            toBatchesOf: Numbered.self,
            group: "search",
            maximumCount: 10,
            within: .milliseconds(50),
            retry: .fixed(.seconds(1), maximumAttempts: 3)
        ) { batch in
            running.withLock { running in
                running.now += 1
                running.most = max(running.most, running.now)
            }
            defer { running.withLock { $0.now -= 1 } }
            _ = note(batch)
            try await gate.withLock { $0 }.wait()
            if batch[0].event.number > 1, batch[0].context.attempt == 1 { throw Broken() }
        }
        try await bus.withRunning {
            for number in 1...4 {
                try await publish(number...number, on: bus)
                try await eventually("the event is in a batch") { subscription.health.details["running"] == number }
                if number < 3 { try await clock.sleeper(dueBy: clock.now.advanced(by: .milliseconds(50))) }
                clock.advance(by: .milliseconds(50))
                if number == 1 { try await eventually("the first batch runs") { !batches.all.isEmpty } }
            }
            gate.withLock { $0 }.raise()
            try await broker.settled()
        }
        #expect(batches.all.first == [1])
        #expect(batches.all.dropFirst().first?.contains(2) == true)
        #expect(Set(batches.all.suffix(3)) == [[2], [3], [4]])
        #expect(running.withLock { $0.most } == 1)
    }

    @Test("The wait for a running batch is not part of the handler's time")
    func timeoutAfterWait() async throws {
        let bus = bus()
        let gates = [Signal(), Signal()]
        let subscription = bus.subscribe(
            toBatchesOf: Numbered.self,
            group: "search",
            maximumCount: 2,
            within: .milliseconds(50),
            options: .init(prefetch: 10, retry: .never, handlerTimeout: .seconds(5))
        ) { batch in
            let number = note(batch)[0]
            if number < 2 { try await gates[number].wait() }
        }
        try await bus.withRunning {
            for number in 0...1 {
                try await publish(number...number, on: bus)
                try await eventually("the event is in a batch") { subscription.health.details["running"] == number + 1 }
                try await clock.sleeper(dueBy: clock.now.advanced(by: .milliseconds(50)))
                clock.advance(by: .milliseconds(100))
                if number == 0 { try await eventually("the first batch runs") { batches.all == [[0]] } }
            }
            clock.advance(by: .seconds(4))
            gates[0].raise()
            try await eventually("the second batch runs") { batches.all == [[0], [1]] }
            clock.advance(by: .seconds(4))
            gates[1].raise()
            try await broker.settled()
            #expect(try await bus.deadLetters(of: "search").count() == 0)
        }
    }

    @Test("Health tells if all events wait for a batch that ignores its cancellation")
    func stuck() async throws {
        let bus = bus()
        let gate = Signal()
        let subscription = bus.subscribe(
            toBatchesOf: Numbered.self,
            group: "search",
            maximumCount: 2,
            within: .milliseconds(50),
            options: .init(retry: .never, handlerTimeout: .seconds(5))
        ) { batch in
            _ = note(batch)
            await withoutCancellation { try? await gate.wait() }
        }
        try await bus.withRunning {
            try await publish(1...1, on: bus)
            try await clock.sleeper(dueBy: clock.now.advanced(by: .milliseconds(50)))
            clock.advance(by: .milliseconds(50))
            try await eventually("the first batch runs") { batches.all == [[1]] }
            try await publish(2...2, on: bus)
            try await clock.sleeper(dueBy: clock.now.advanced(by: .milliseconds(50)))
            clock.advance(by: .seconds(6))
            try await eventually("health tells") { subscription.health.status == .notReady }
            #expect(subscription.health.reason?.contains("ignore their cancellation") == true)
            gate.raise()
            try await eventually("the second batch runs") { batches.all == [[1], [2]] }
            try await broker.settled()
            #expect(subscription.health.status == .ready)
        }
    }

    @Test("Only the events that are declared failed fail, and each is retried alone by its own attempts")
    func singleFailures() async throws {
        let bus = bus()
        bus.subscribe(
            toBatchesOf: Numbered.self,
            group: "search",
            maximumCount: 10,
            within: .milliseconds(50),
            retry: .fixed(.seconds(1), maximumAttempts: 3)
        ) { batch in
            _ = note(batch)
            for member in batch
            where member.event.number == 3 || (member.event.number == 5 && member.context.attempt == 1) {
                member.fail(Broken())
            }
        }
        try await bus.withRunning {
            try await publish(1...5, on: bus)
            try await broker.settled()
            let letters = try await bus.deadLetters(of: "search").entries()
            #expect(try letters.map { try $0.decoded(as: Numbered.self).number } == [3])
            #expect(letters.map(\.attempts) == [3])
            #expect(letters.map(\.failure.reason) == [.attemptsExhausted])
        }
        #expect(batches.all.first.map(Set.init) == Set(1...5))
        #expect(batches.all.dropFirst().map(Set.init).sorted { $0.max()! < $1.max()! } == [[3], [3], [5]])
    }

    @Test("If the handler throws, all its events have failed, and one bad event uses up the attempts of no other")
    func wholeFailure() async throws {
        let bus = bus()
        bus.subscribe(
            toBatchesOf: Numbered.self,
            group: "search",
            maximumCount: 10,
            within: .milliseconds(50),
            retry: .fixed(.seconds(1), maximumAttempts: 2)
        ) { batch in
            if note(batch).contains(3) { throw Broken() }
        }
        try await bus.withRunning {
            try await publish(1...5, on: bus)
            try await broker.settled()
            let letters = try await bus.deadLetters(of: "search").entries()
            #expect(try letters.map { try $0.decoded(as: Numbered.self).number } == [3])
        }
        #expect(batches.all.dropFirst().map(\.count) == [1, 1, 1, 1, 1])
    }

    @Test("An event that cannot be decoded is dead-lettered alone, and an outage defers all without an attempt")
    func othersRules() async throws {
        let bus = bus()
        let attempts = Locked<[Int]>([])
        bus.subscribe(
            toBatchesOf: Numbered.self,
            group: "search",
            maximumCount: 10,
            within: .milliseconds(50),
            retry: .never
        ) { batch in
            let isFirst = note(batch).count == batches.all.joined().count
            if isFirst { throw EventBusError(.unavailable, "the index cannot be reached") }
            attempts.withLock { $0 += batch.map(\.context.attempt) }
        }
        try await bus.withRunning {
            try await bus.publish(Envelope(topic: Numbered.topic, payload: Array("{}".utf8)))
            try await publish(1...5, on: bus)
            try await broker.settled()
            #expect(try await bus.deadLetters(of: "search").entries().map(\.failure.reason) == [.undecodable])
        }
        #expect(attempts.withLock { $0 } == [1, 1, 1, 1, 1])
    }

    @Test("An inbox keeps a duplicate out of every batch")
    func inbox() async throws {
        let bus = bus()
        bus.subscribe(
            toBatchesOf: Numbered.self,
            group: "search",
            maximumCount: 3,
            within: .milliseconds(50),
            options: .init(inbox: broker.makeInbox())
        ) { batch in _ = note(batch) }
        try await bus.withRunning {
            for _ in 0..<3 {
                for number in 1...3 {
                    try await bus.publish(Numbered(number), options: .init(id: EventID("event-\(number)")))
                }
                try await broker.settled()
            }
        }
        #expect(batches.all.map { $0.sorted() } == [[1, 2, 3]])
    }

    @Test("A batch has at most one event of a key, and the events of a key stay in order through retries")
    func keyOrder() async throws {
        let bus = bus()
        let handled = Locked<[Int]>([])
        let failed = Locked<Set<Int>>([])
        bus.subscribe(
            toBatchesOf: Numbered.self,
            group: "search",
            maximumCount: 4,
            within: .milliseconds(50),
            retry: .fixed(.seconds(1), maximumAttempts: 3),
            ordering: .byPartitionKey
        ) { batch in
            #expect(Set(batch.map(\.event.partitionKey)).count == batch.count)
            for member in batch {
                let number = member.event.number
                if number.isMultiple(of: 3), failed.withLock({ $0.insert(number).inserted }) {
                    member.fail(Broken())
                } else {
                    handled.withLock { $0.append(number) }
                }
            }
        }
        try await bus.withRunning {
            try await publish(1...12, on: bus)
            try await broker.settled()
        }
        let order = handled.withLock { $0 }
        #expect(Set(order) == Set(1...12))
        for key in 0..<2 { #expect(order.filter { $0 % 2 == key } == (1...12).filter { $0 % 2 == key }) }
    }

    @Test("An event's own context gives its publishes its correlation and derived identities; others are random")
    func publishing() async throws {
        let bus = bus()
        let published = Locked<[Int: [Envelope]]>([:])
        bus.subscribe(
            toBatchesOf: Numbered.self,
            group: "search",
            maximumCount: 2,
            within: .milliseconds(50),
            retry: .fixed(.seconds(1), maximumAttempts: 2)
        ) { batch in
            let outside = try bus.envelope(for: Indexed())
            published.withLock { $0[0, default: []].append(outside) }
            for member in batch {
                let inside = try await member.withContext { try bus.envelope(for: Indexed()) }
                #expect(inside.causationID == member.context.id)
                #expect(inside.correlationID == member.context.correlationID)
                published.withLock { $0[member.event.number, default: []].append(inside) }
                if member.context.attempt == 1 { member.fail(Broken()) }
            }
        }
        try await bus.withRunning {
            for result in try await bus.publish(contentsOf: [Numbered(1), Numbered(2)]) { _ = try result.get() }
            try await broker.settled()
        }
        let (first, second) = published.withLock { (Set($0[1]!.map(\.id)), Set($0[2]!.map(\.id))) }
        #expect(first.count == 1 && second.count == 1 && first != second)
        #expect(published.withLock { Set($0[0]!.map(\.id)).count } == 3)
    }

    @Test("A batch that takes too long is cancelled, and all its events count an attempt")
    func timeout() async throws {
        let bus = bus()
        bus.subscribe(
            toBatchesOf: Numbered.self,
            group: "search",
            maximumCount: 3,
            within: .milliseconds(50),
            options: .init(retry: .never, handlerTimeout: .seconds(5))
        ) { batch in
            _ = note(batch)
            try await Signal().wait()
        }
        try await bus.withRunning {
            try await publish(1...3, on: bus)
            try await eventually("the batch runs") { !batches.all.isEmpty }
            clock.advance(by: .seconds(6))
            try await broker.settled()
            let letters = try await bus.deadLetters(of: "search").entries()
            #expect(letters.count == 3)
            #expect(letters.allSatisfy { $0.failure.message.contains("longer than its limit") })
        }
        #expect(batches.all.count == 1)
    }

    @Test("Events of a batch whose connection is lost are redelivered, and count no attempt")
    func connectionLoss() async throws {
        let bus = bus()
        let begun = Signal()
        bus.subscribe(
            toBatchesOf: Numbered.self,
            group: "search",
            maximumCount: 3,
            within: .milliseconds(50),
            retry: .never
        ) { batch in
            #expect(batch.allSatisfy { $0.context.attempt == 1 })
            if begun.isRaised {
                _ = note(batch)
            } else {
                begun.raise()
                try await Signal().wait()
            }
        }
        try await bus.withRunning {
            try await publish(1...3, on: bus)
            try await begun.wait()
            broker.loseConnections()
            try await broker.settled()
            #expect(try await bus.deadLetters(of: "search").count() == 0)
        }
        #expect(batches.all.joined().sorted() == [1, 2, 3])
    }

    @Test("A bus that shuts down handles the batch that it was collecting at once, however long it would collect")
    func promptShutdown() async throws {
        let bus = bus()
        let subscription = collecting(on: bus)
        try await bus.withRunning {
            try await publish(1...3, on: bus)
            try await eventually("the batch waits") { subscription.health.details["running"] == 3 }
        }
        #expect(batches.all.map { $0.sorted() } == [[1, 2, 3]])
        #expect(clock.now.offset == .zero)
    }

    @Test("A subscription that pauses or changes its concurrency handles the batch that it was collecting at once")
    func promptPause() async throws {
        let bus = bus()
        let subscription = collecting(on: bus)
        try await bus.withRunning {
            try await publish(1...3, on: bus)
            try await eventually("the batch waits") { subscription.health.details["running"] == 3 }
            await subscription.pause()
            #expect(batches.all.map { $0.sorted() } == [[1, 2, 3]])
            subscription.resume()
            try await subscription.attached()
            try await publish(4...5, on: bus)
            try await eventually("the next one waits") { subscription.health.details["running"] == 2 }
            try await subscription.changeConcurrency(to: 5)
            #expect(batches.all.map { $0.sorted() } == [[1, 2, 3], [4, 5]])
            #expect(clock.now.offset == .zero)
        }
    }

    private func collecting(on bus: EventBus) -> Subscription {
        bus.subscribe(
            toBatchesOf: Numbered.self,
            group: "search",
            maximumCount: 9,
            within: .seconds(3600)
        ) { batch in _ = note(batch) }
    }

    @Test("An event that arrives at a paused subscription's batch is handled after the pause")
    func pause() async throws {
        let bus = bus()
        let subscription = bus.subscribe(
            toBatchesOf: Numbered.self,
            group: "search",
            maximumCount: 2,
            within: .milliseconds(50)
        ) { batch in _ = note(batch) }
        try await bus.withRunning {
            await subscription.pause()
            try await publish(1...3, on: bus)
            #expect(batches.all.isEmpty)
            subscription.resume()
            try await subscription.attached()
            try await broker.settled()
        }
        #expect(batches.all.map(\.count) == [2, 1])
    }

    @Test(
        "Sizes and options that cannot work are refused with the remedy",
        arguments: [
            (0, 50, 1, SubscriptionOptions(), "give 1 or more"), (9, 50, 0, SubscriptionOptions(), "give 1 or more"),
            (300, 50, 300, SubscriptionOptions(), "at most 65535"),
            (Int.max, 50, 2, SubscriptionOptions(), "at most 65535"),
            (10, 50, 2, SubscriptionOptions(prefetch: 19), "the prefetch is at least 20"),
            (10, 0, 1, SubscriptionOptions(), "give the time"),
            (10, 50, 1, SubscriptionOptions(publishing: .whenHandled), "leave it out"),
        ]
    )
    func invalid(
        _ count: Int,
        _ milliseconds: Int,
        _ concurrency: Int,
        _ options: SubscriptionOptions,
        _ remedy: String
    )
        async throws
    {
        let subscription = bus().subscribe(
            toBatchesOf: Numbered.self,
            group: "search",
            maximumCount: count,
            within: .milliseconds(milliseconds),
            concurrency: concurrency,
            options: options
        ) { _ in }
        do {
            try await subscription.attached()
            Issue.record("it was accepted")
        } catch let error as EventBusError {
            #expect(error.code == .invalidConfiguration)
            #expect(error.message.contains(remedy))
        }
    }
}

private struct Numbered: Event {
    static let topic: Topic = "number.drawn"
    var number: Int
    var partitionKey: String? { "\(number % 2)" }

    init(_ number: Int) { self.number = number }
}

private struct Indexed: Event {
    static let topic: Topic = "index.changed"
}

import EventBus
import EventBusInMemory
import EventBusTesting
import Testing

@Suite("Maximum time of retries", .timeLimit(.minutes(1)))
struct RetryTimeTests {
    private let clock = ManualClock()
    private let broker: InMemoryBroker

    init() {
        broker = InMemoryBroker(clock: clock)
    }

    private struct Failed: Error {}

    private struct Attempt: Hashable {
        var number: Int
        var isLast: Bool
        var time: Duration
    }

    /// Publishes an event whose attempts throw `error`, and returns the attempts and the dead letter.
    private func fail(
        _ options: SubscriptionOptions,
        with error: any Error = Failed(),
        first: (any Error)? = nil
    ) async throws -> (attempts: [Attempt], letter: DeadLetter?) {
        let bus = EventBus(transport: .inMemory(broker))
        let attempts = Locked<[Attempt]>([])
        let (clock, start) = (clock, clock.now)
        bus.subscribe(to: OrderCreated.self, group: "g", options: options) { _, context in
            let time = start.duration(to: clock.now)
            attempts.withLock {
                $0.append(Attempt(number: context.attempt, isLast: context.isLastAttempt, time: time))
            }
            throw attempts.withLock { $0.count } == 1 ? first ?? error : error
        }
        return try await bus.withRunning {
            try await bus.publish(OrderCreated(orderID: "1"))
            try await broker.settled()
            return (attempts.withLock { $0 }, try await bus.deadLetters(of: "g").entries(limit: 1).first)
        }
    }

    @Test("The last attempt is the one after which the next would come too late", arguments: DeferralTests.Way.all)
    func lastAttempt(way: DeferralTests.Way) async throws {
        var options = SubscriptionOptions(ordering: way.ordering, broadcast: way.broadcast)
        options.retry = .fixed(.seconds(10), maximumAttempts: .max, maximumTime: .seconds(35))
        let failed = try await fail(options)
        #expect(failed.attempts.map(\.time) == [.zero, .seconds(10), .seconds(20), .seconds(30)])
        #expect(failed.attempts.map(\.number) == [1, 2, 3, 4])
        #expect(failed.attempts.map(\.isLast) == [false, false, false, true])
        if !way.broadcast {
            let failure = try #require(failed.letter?.failure)
            #expect(failure.reason == .retryTimeExhausted)
            #expect(failure.errorType.contains("Failed"))
        }
    }

    @Test(
        "A wall clock that is set back does not keep an event from reaching its end",
        arguments: DeferralTests.Way.all
    )
    func setBack(way: DeferralTests.Way) async throws {
        let shift = Locked(Duration.zero)
        let clock = AnyClock(clock).settingWallClock { shift.withLock { $0 } }
        let bus = EventBus(transport: .inMemory(InMemoryBroker(clock: clock)))
        var options = SubscriptionOptions(ordering: way.ordering, broadcast: way.broadcast)
        options.retry = .fixed(.seconds(10), maximumAttempts: 100, maximumTime: .seconds(35))
        let times = Notes<Duration>()
        let last = Signal()
        bus.subscribe(to: OrderCreated.self, group: "g", options: options) { [self] _, context in
            times.add(self.clock.now.offset)
            if context.attempt == 2 { shift.withLock { $0 = .seconds(-3600) } }
            if context.isLastAttempt { last.raise() }
            throw Failed()
        }
        try await bus.withRunning {
            try await bus.publish(OrderCreated(orderID: "1"))
            try await eventually("the last attempt") {
                if !last.isRaised { await clock.advance(to: clock.now.advanced(by: .milliseconds(100))) }
                return last.isRaised
            }
        }
        // The broker knows only the wall clock, by which the time begins again. A process also measures it.
        let scheduled: [Duration] = [.zero, .seconds(10), .seconds(20), .seconds(30), .seconds(40)]
        let expected = way.ordering == .none && !way.broadcast ? scheduled : scheduled.dropLast()
        #expect(times.values.map { .seconds($0.components.seconds) } == Array(expected))
    }

    @Test("The number of attempts still applies")
    func attempts() async throws {
        let options = SubscriptionOptions(retry: .fixed(.seconds(1), maximumAttempts: 2, maximumTime: .seconds(60)))
        let failed = try await fail(options)
        #expect(failed.attempts.count == 2)
        #expect(failed.letter?.failure.reason == .attemptsExhausted)
    }

    @Test("A handler that asks for a later attempt gets it at the end of the time", arguments: DeferralTests.Way.all)
    func later(way: DeferralTests.Way) async throws {
        var options = SubscriptionOptions(ordering: way.ordering, broadcast: way.broadcast)
        options.retry = .fixed(.seconds(10), maximumAttempts: .max, maximumTime: .seconds(60))
        let failed = try await fail(options, with: RetryLater(after: .seconds(40)))
        #expect(failed.attempts.map(\.isLast) == [false, false, true])
        #expect(failed.attempts.dropFirst().first?.time == .seconds(40))
        #expect((failed.attempts.last?.time).map { $0 > .seconds(50) && $0 <= .seconds(60) } == true)
    }

    @Test("A postponement that does not count leaves the whole time for retries", arguments: DeferralTests.Way.all)
    func postponed(way: DeferralTests.Way) async throws {
        var options = SubscriptionOptions(ordering: way.ordering, broadcast: way.broadcast)
        options.retry = .fixed(.seconds(10), maximumAttempts: .max, maximumTime: .seconds(35))
        let later = RetryLater(after: .seconds(90), countsAsAttempt: false)
        let start = AnyClock(clock).wallTime
        let failed = try await fail(options, first: later)
        let times: [Duration] = [.zero, .seconds(90), .seconds(100), .seconds(110), .seconds(120)]
        #expect(failed.attempts.map(\.time) == times)
        #expect(failed.attempts.map(\.number) == [1, 1, 2, 3, 4])
        #expect(failed.attempts.map(\.isLast) == [false, false, false, false, true])
        if !way.broadcast {
            let failure = try #require(failed.letter)
            #expect(failure.failure.reason == .retryTimeExhausted)
            let first = try #require(failure.firstFailure)
            let elapsed = first.milliseconds - start.milliseconds
            #expect(elapsed / 1000 == 90)
        }
    }

    @Test("No time for retries makes the first attempt the last one")
    func none() async throws {
        let failed = try await fail(SubscriptionOptions(retry: RetryPolicy(maximumTime: .seconds(-1))))
        #expect(failed.attempts.map(\.isLast) == [true])
        #expect(failed.letter?.failure.reason == .retryTimeExhausted)
        #expect(RetryPolicy(maximumTime: .seconds(-1)).maximumTime == .zero)
    }
}

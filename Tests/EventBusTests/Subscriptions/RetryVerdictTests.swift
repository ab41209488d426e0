import EventBus
import EventBusInMemory
import EventBusTesting
import Testing

@Suite("Retries by error", .timeLimit(.minutes(1)))
struct RetryVerdictTests {
    private let clock = ManualClock()
    private let broker: InMemoryBroker

    init() {
        broker = InMemoryBroker(clock: clock)
    }

    private enum Declined: Error {
        case byTheBank
        case busy
        case broken
        case hopeless
    }

    private struct Hopeless: Error, NonRetryable {}

    /// Handles one event whose attempts throw what `failure` returns, and returns the attempts with their times, and the
    /// dead letter.
    private func handle(
        _ options: SubscriptionOptions,
        failure: @escaping @Sendable (_ call: Int) -> (any Error)?
    ) async throws -> (attempts: [Attempt], letter: DeadLetter?) {
        let bus = EventBus(transport: .inMemory(broker))
        let attempts = Locked<[Attempt]>([])
        let clock = clock
        bus.subscribe(to: OrderCreated.self, group: "g", name: "orders", options: options) { _, context in
            let call = attempts.withLock { attempts in
                attempts.append(Attempt(number: context.attempt, isLast: context.isLastAttempt, time: clock.now.offset))
                return attempts.count
            }
            if let error = failure(call) { throw error }
        }
        return try await bus.withRunning {
            try await bus.publish(OrderCreated(orderID: "1"))
            try await broker.settled()
            #expect(bus.health().isReady)
            return (attempts.withLock { $0 }, try await bus.deadLetters(of: "g").entries(limit: 1).first)
        }
    }

    private struct Attempt: Hashable {
        var number: Int
        var isLast = false
        var time: Duration
    }

    @Test("A verdict gives up on a single case of an error, and shortens the attempts of another one")
    func verdicts() async throws {
        var options = SubscriptionOptions(retry: .fixed(.seconds(10), maximumAttempts: 5))
        options.retryVerdict = { error in
            switch error {
            case Declined.byTheBank: .giveUp
            case Declined.busy: .retry(after: .seconds(1))
            case Declined.broken: .retry(maximumAttempts: 2)
            default: .byPolicy
            }
        }
        let declined = try await handle(options) { _ in Declined.byTheBank }
        #expect(declined.attempts.map(\.number) == [1])
        #expect(declined.letter?.failure.reason == .nonRetryable)
        let start = clock.now.offset
        let busy = try await handle(options) { call in call < 3 ? Declined.busy : nil }
        #expect(busy.attempts.map(\.time) == [start, start + .seconds(1), start + .seconds(2)])
        #expect(busy.attempts.map(\.number) == [1, 2, 3])
    }

    @Test("A verdict can lower the number of attempts and not raise it")
    func attempts() async throws {
        var options = SubscriptionOptions(retry: .fixed(.seconds(10), maximumAttempts: 3))
        options.retryVerdict = { $0 as? Declined == .broken ? .retry(maximumAttempts: 2) : .retry(maximumAttempts: 9) }
        let broken = try await handle(options) { _ in Declined.broken }
        #expect(broken.attempts.map(\.number) == [1, 2])
        // The error is known only after the attempt.
        #expect(broken.attempts.map(\.isLast) == [false, false])
        #expect(broken.letter?.failure.reason == .attemptsExhausted)
        let busy = try await handle(options) { _ in Declined.busy }
        #expect(busy.attempts.map(\.number) == [1, 2, 3])
        #expect(busy.attempts.map(\.isLast) == [false, false, true])
    }

    @Test("A verdict decides about non-retryable errors and outages as well")
    func overrides() async throws {
        var options = SubscriptionOptions(retry: .fixed(.seconds(1), maximumAttempts: 2))
        options.retryVerdict = { _ in .retry() }
        let hopeless = try await handle(options) { call in call == 1 ? Hopeless() : nil }
        #expect(hopeless.attempts.map(\.number) == [1, 2])
        options.retryVerdict = { _ in .giveUp }
        let outage = try await handle(options) { _ in EventBusError(.unavailable, "no Redis") }
        #expect(outage.letter?.failure.reason == .nonRetryable)
    }

    @Test("A postponed event is retried at that time, as another attempt", arguments: DeferralTests.Way.all)
    func postponed(way: DeferralTests.Way) async throws {
        var options = SubscriptionOptions(ordering: way.ordering, broadcast: way.broadcast)
        options.retry = .fixed(.seconds(1), maximumAttempts: 3)
        let later = try await handle(options) { _ in RetryLater(after: .seconds(30), reason: "too many requests") }
        #expect(later.attempts.map(\.time) == [.zero, .seconds(30), .seconds(60)])
        #expect(later.attempts.map(\.number) == [1, 2, 3])
        if !way.broadcast {
            #expect(later.letter?.failure.reason == .attemptsExhausted)
            #expect(later.letter?.failure.message.contains("too many requests") == true)
        }
    }

    @Test("A postponement without an attempt is bounded by the deferral", arguments: DeferralTests.Way.all)
    func uncounted(way: DeferralTests.Way) async throws {
        var options = SubscriptionOptions(ordering: way.ordering, broadcast: way.broadcast)
        options.retry = .never
        options.maximumDeferral = .seconds(90)
        let delays: [Duration] = [.seconds(30), .seconds(60), .zero]
        let handled = try await handle(options) { call in
            call < 3 ? RetryLater(after: delays[call - 1], countsAsAttempt: false) : nil
        }
        #expect(handled.attempts.map(\.number) == [1, 1, 1])
        #expect(handled.attempts.map(\.time) == [.zero, .seconds(30), .seconds(90)])
        #expect(handled.letter == nil)
        let endless = try await handle(options) { _ in RetryLater(after: .zero, countsAsAttempt: false) }
        #expect(endless.attempts.count > 100)
        if !way.broadcast { #expect(endless.letter?.failure.reason == .postponed) }
    }

    @Test("A delay that is longer than a delivery may be held is shortened, and the attempt after it is the last")
    func held() async throws {
        var options = SubscriptionOptions(ordering: .byPartitionKey, maximumHold: .seconds(60))
        options.retry = .fixed(.seconds(1), maximumAttempts: 9)
        let held = try await handle(options) { _ in RetryLater(after: .seconds(45)) }
        #expect(held.attempts.map(\.time) == [.zero, .seconds(45), .seconds(60)])
        #expect(held.attempts.map(\.isLast) == [false, false, true])
        #expect(held.letter?.failure.reason == .holdLimit)
    }

    @Test("A by-key subscription holds a postponed event no longer than it may, and does not ask for it again at once")
    func heldWithoutAttempt() async throws {
        let options = SubscriptionOptions(ordering: .byPartitionKey, maximumHold: .seconds(60))
        let held = try await handle(options) { _ in RetryLater(after: .seconds(45), countsAsAttempt: false) }
        #expect(held.attempts.map(\.time) == [.zero, .seconds(45), .seconds(60)])
        #expect(held.attempts.map(\.number) == [1, 1, 1])
        #expect(held.letter?.failure.reason == .postponed)
    }

    @Test("A verdict does not decide about an injected crash")
    func injected() async throws {
        var faults = FaultPlan(seed: 1)
        faults.handlerCrash = 0.5
        let broker = InMemoryBroker(clock: clock, faults: faults)
        let bus = EventBus(transport: .inMemory(broker))
        var options = SubscriptionOptions()
        options.retryVerdict = { _ in .giveUp }
        bus.subscribe(to: OrderCreated.self, group: "g", options: options) { _, _ in }
        try await bus.withRunning {
            for number in 0..<20 { try await bus.publish(OrderCreated(orderID: "\(number)")) }
            try await broker.settled()
            #expect(try await bus.deadLetters(of: "g").entries(limit: 1).first?.failure.reason != .nonRetryable)
        }
    }

    @Test("A postponement is bounded, whatever its duration")
    func bounds() {
        #expect(RetryLater(after: .seconds(-1)).delay == .zero)
        #expect(RetryLater(after: .seconds(Int64.max)).delay < .seconds(Int64.max))
        #expect(RetryVerdict.retry(after: .seconds(-1)) == .retry(after: .zero))
    }
}

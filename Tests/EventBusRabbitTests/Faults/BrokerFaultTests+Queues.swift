import EventBus
import EventBusRabbit
import EventBusTesting
import Testing

extension FaultTests.BrokerFaultTests {
    @Test func `a queue deleted under its consumer is declared and consumed again`() async throws {
        let broker = try await FaultTests.broker()
        let name = freshName()
        let configuration = try broker.configuration { $0.exchange = "events-\(name)" }
        let topic = try Topic(validating: "\(name).probe")
        let bus = try EventBus(transport: .rabbit(configuration))
        let seen = SeenNumbers()
        bus.subscribe(to: TopicPattern(topic), group: "group-\(name)", name: "probe") { event, _ in
            seen.note(event.envelope)
        }
        try await bus.withRunning {
            try await RawClient.delete(queue: "group-\(name).probe", configuration)
            let deleted = ContinuousClock.now
            try await eventually("delivered again", within: .seconds(20)) {
                _ = try await bus.publish(Envelope(topic: topic, payload: Array("1".utf8)))
                return seen.count > 0
            }
            #expect(bus.health().isReady)
            #expect(try await bus.deadLetters(of: "group-\(name)").count() == 0)
            print("queue deleted: consuming again after \(deleted.duration(to: .now))")
        }
    }

    /// The healthy events, and the duration of each.
    private final class Times: Sendable {
        private struct State {
            var begun: [Int: ContinuousClock.Instant] = [:]
            var took: [Int: Duration] = [:]
        }

        private let state = Locked(State())

        var begun: Int { state.withLock { $0.begun.count } }
        var ended: Set<Int> { state.withLock { Set($0.took.keys) } }
        var slowest: Duration { state.withLock { $0.took.values.max() ?? .zero } }

        func begin(_ number: Int) { state.withLock { $0.begun[number] = .now } }

        func end(_ number: Int) {
            state.withLock { state in
                if let start = state.begun[number] { state.took[number] = start.duration(to: .now) }
            }
        }
    }

    @Test func `retries to a deleted queue do not hold up those of others`() async throws {
        let broker = try await FaultTests.broker()
        let name = freshName()
        let configuration = try broker.configuration { $0.exchange = "events-\(name)" }
        let (doomedTopic, healthyTopic) = (
            try Topic(validating: "\(name).doomed"), try Topic(validating: "\(name).healthy")
        )
        let transport = try RabbitTransport(configuration)
        let doomed = try EventBus(transport: .rabbit(configuration))
        let healthy = EventBus(transport: transport)
        let failed = SeenNumbers()
        let times = Times()
        doomed.subscribe(
            to: TopicPattern(doomedTopic),
            group: "doomed-\(name)",
            name: "probe",
            options: .init(concurrency: 40, retry: .fixed(.seconds(5), maximumAttempts: 5))
        ) { event, _ in
            failed.note(event.envelope)
            throw CancellationError()
        }
        healthy.subscribe(
            to: TopicPattern(healthyTopic),
            group: "healthy-\(name)",
            options: .init(concurrency: 20, retry: .fixed(.milliseconds(500), maximumAttempts: 5))
        ) { event, context in
            if context.attempt < 3 { throw CancellationError() }
            times.end(Int(String(decoding: event.envelope.payload, as: UTF8.self)) ?? 0)
        }
        try await healthy.withRunning {
            try await doomed.withRunning {
                for number in 0..<40 {
                    try await doomed.publish(Envelope(topic: doomedTopic, payload: Array("\(number)".utf8)))
                }
                try await eventually("40 failures") { failed.count >= 40 }
            }
            // All 40 events are in the delay levels when their queue is deleted.
            try await RawClient.delete(queue: "doomed-\(name).probe", configuration)
            // Healthy events fail and are retried meanwhile.
            let mayEnd = Signal()
            defer { mayEnd.raise() }
            let router = Task {
                // Not until it is cancelled, because a cancelled call may have published its event or not.
                while !mayEnd.isRaised {
                    let number = times.begun
                    times.begin(number)
                    try await healthy.publish(Envelope(topic: healthyTopic, payload: Array("\(number)".utf8)))
                    try await eventually("few are in flight") { times.begun - times.ended.count < 50 }
                }
            }
            let start = ContinuousClock.now
            var before = 0
            try await eventually("40 retries without a queue", within: .seconds(60)) {
                let count = try await transport.unroutableDelays.entries(limit: 1000)
                    .count { $0.queue == "doomed-\(name).probe" && $0.group == "doomed-\(name)" }
                if count == 0 { before = times.ended.count }
                return count == 40
            }
            let expired = start.duration(to: .now)
            let due = times.begun
            try await eventually("50 later events retried twice") {
                times.ended.isSuperset(of: due..<(due + 50))
            }
            mayEnd.raise()
            try await router.value
            try await eventually("all retried twice") { times.ended.count == times.begun }
            let ended = times.ended.count
            #expect(ended - before >= 50, "the router went on while the retries came due")
            #expect(try await healthy.deadLetters(of: "healthy-\(name)").count() == 0)
            print(
                """
                40 retries to a deleted queue came due within \(expired): \(ended) healthy events retried twice by \
                500 ms, \(before) of them before and \(ended - before) after the first came due, the slowest in \
                \(times.slowest)
                """
            )
        }
    }
}

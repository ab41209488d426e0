import EventBus
import EventBusRabbit
import EventBusTesting
import Testing

/// Reading, replaying and discarding many dead letters.
@Suite(.timeLimit(.minutes(5)))
struct DeadLetterToolTests {
    @Test func `many letters are paged, replayed in part, and the rest discarded`() async throws {
        let name = freshName()
        let configuration = try await TestBroker.shared().configuration { $0.exchange = "events-\(name)" }
        let topic = try Topic(validating: "\(name).probe")
        let bus = try EventBus(transport: .rabbit(configuration))
        let handled = SeenNumbers()
        let isBroken = Switch(true)
        bus.subscribe(
            to: TopicPattern(topic),
            group: "group-\(name)",
            options: .init(concurrency: 64, retry: .never)
        ) { event, _ in
            if isBroken.isOn { throw CancellationError() }
            handled.note(event.envelope)
        }
        let total = 2400
        try await bus.withRunning {
            let events = (0..<total).map { Envelope(topic: topic, payload: Array("\($0)".utf8)) }
            let options = PublishOptions(deadline: .seconds(120))
            for result in try await bus.publish(contentsOf: events, options: options) { _ = try result.get() }
            let letters = bus.deadLetters(of: "group-\(name)")
            try await eventually("all dead", within: .seconds(120)) { try await letters.count() == total }
            let clock = ContinuousClock()
            var seen: Set<EventID> = []
            var pages = 0
            let reading = try await clock.measure {
                while true {
                    let page = try await letters.entries(limit: 1000, offset: seen.count)
                    if page.isEmpty { break }
                    pages += 1
                    seen.formUnion(page.map(\.envelope.id))
                }
            }
            #expect(pages == 3)
            #expect(seen == Set(events.map(\.id)))
            isBroken.set(false)
            @Sendable func isEven(_ letter: DeadLetter) -> Bool {
                letter.envelope.payload.last.map { $0 % 2 == 0 } ?? false
            }
            #expect(try await letters.replay(options: .init(dryRun: true)) { isEven($0) } == total / 2)
            var replayed = 0
            let replaying = try await clock.measure {
                replayed = try await letters.replay(options: .init()) { isEven($0) }
            }
            #expect(replayed == total / 2)
            try await eventually("handled", within: .seconds(60)) { handled.count == total / 2 }
            #expect(try await letters.count() == total / 2)
            #expect(try await letters.discard { _ in true } == total / 2)
            #expect(try await letters.count() == 0)
            // The connection for consuming was not affected.
            #expect(bus.health().components.compactMap { $0.details["connections"] } == [1, 1])
            print("dead letters: \(total) paged in \(reading), \(replayed) of them replayed in \(replaying)")
        }
    }
}

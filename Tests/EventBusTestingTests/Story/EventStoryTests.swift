import EventBus
import EventBusInMemory
import EventBusTesting
import Testing

private struct OrderPlaced: Event {
    static let topic: Topic = "order.placed"
    var number: Int
}

private struct OrderPrinted: Event {
    static let topic: Topic = "order.printed"
    var number: Int
}

private struct OutOfPaper: Error, CustomStringConvertible {
    var description: String { "no paper\n\u{1B}[31m" }
}

@Suite("The story of a test", .timeLimit(.minutes(1)))
struct EventStoryTests {
    private let broker = InMemoryBroker(clock: ManualClock())
    private let recorder = EventRecorder()
    private let bus: EventBus

    init() {
        var configuration = EventBusConfiguration()
        configuration.record(with: recorder)
        bus = EventBus(transport: .inMemory(broker), configuration: configuration)
    }

    /// The lines of the story, with single spaces.
    private var lines: [String] {
        "\(recorder.story)".split(separator: "\n").map { line in
            line.split(separator: " ").joined(separator: " ")
        }
    }

    @Test("Publishes, attempts, delays, causes and dead letters are on one timeline", arguments: [false, true])
    func timeline(byKey: Bool) async throws {
        bus.subscribe(
            to: OrderPlaced.self,
            group: "printer",
            options: .init(
                retry: .fixed(.seconds(30), maximumAttempts: 2),
                ordering: byKey ? .byPartitionKey : .none
            )
        ) { [bus] order, context in
            if context.attempt == 2 { try await bus.publish(OrderPrinted(number: order.number)) }
            throw OutOfPaper()
        }
        try await bus.withRunning {
            try await bus.publish(OrderPlaced(number: 1))
            try await broker.settled()
        }
        #expect(
            lines.map { $0.replacing(/[A-Za-z.()$ 0-9]*OutOfPaper[^:]*:/, with: "OutOfPaper:") } == [
                "2 events, 4 steps, 30 s", "time P 1 event", "+0 s ● ▶ #1 order.placed published",
                "+0 s ✗ #1 order.placed attempt 1 failed, the next one in 30 s",
                #"OutOfPaper: no paper\u{A}\u{1B}[31m"#,
                "+30 s † #1 order.placed attempt 2 failed, dead letter: attempts_exhausted",
                #"OutOfPaper: no paper\u{A}\u{1B}[31m"#,
                "+30 s ○ #2 order.printed published, but no subscription matches because of #1", "P publishers",
                "1 printer.order-placed",
            ]
        )
    }

    @Test("Duplicates and events that cannot be decoded are told apart from handled ones")
    func otherOutcomes() async throws {
        let options = SubscriptionOptions(inbox: broker.makeInbox())
        bus.subscribe(to: OrderPlaced.self, group: "printer", options: options) { _, _ in }
        try await bus.withRunning {
            for _ in 0..<2 {
                try await bus.publish(OrderPlaced(number: 1), options: .init(id: "order-1"))
                try await broker.settled()
            }
            try await bus.publish(Envelope(topic: OrderPlaced.topic, payload: []))
            try await broker.settled()
        }
        #expect(lines.contains("+0 s ● #1 order.placed attempt 1 handled"))
        #expect(lines.contains("+0 s ○ #1 order.placed dropped as a duplicate"))
        #expect(lines.contains("+0 s † #2 order.placed dead letter: undecodable"))
    }

    @Test("An error in the body of a test comes with the story")
    func error() async throws {
        // The queue exists, and nobody consumes it.
        let earlier = EventBus(transport: .inMemory(broker))
        earlier.subscribe(to: OrderPlaced.self, group: "printer") { _ in }
        try await earlier.withRunning {}
        let error = await #expect(throws: StoryError.self) {
            try await recorder.withStory {
                #expect(EventRecorder.current === recorder)
                try await bus.withRunning {
                    try await bus.publish(OrderPlaced(number: 1))
                    try await broker.settled(within: .milliseconds(1))
                }
            }
        }
        #expect((error?.underlying as? EventBusError)?.code == .timedOut)
        #expect("\(String(describing: error))".contains("no attempt to handle #1 was recorded"))
        #expect(EventRecorder.current == nil)
        await #expect(throws: CancellationError.self) { try await recorder.withStory { throw CancellationError() } }
    }

    @Test("An attempt that has not ended is shown, and a reset begins another story")
    func running() async throws {
        let (begun, end) = (AsyncStream.makeStream(of: Void.self), AsyncStream.makeStream(of: Void.self))
        bus.subscribe(to: OrderPlaced.self, group: "printer") { _ in
            begun.continuation.yield()
            for await _ in end.stream { break }
        }
        let cut = EventRecorder()
        #expect("\(cut.story)" == "no events were recorded")
        try await bus.withRunning {
            try await bus.publish(OrderPlaced(number: 1))
            for await _ in begun.stream { break }
            #expect(lines.contains("+0 s ? #1 order.placed attempt 1 has not ended"))
            recorder.reset()
            #expect(lines == ["no events were recorded"])
            end.continuation.yield()
        }
    }

    @Test("A long story begins with its last steps")
    func long() async throws {
        bus.subscribe(to: OrderPlaced.self, group: "printer") { _ in }
        try await bus.withRunning {
            for number in 0..<100 { try await bus.publish(OrderPlaced(number: number)) }
            try await broker.settled()
        }
        #expect(lines[1] == "(100 earlier steps are left out)")
        #expect(lines.count == 4 + EventStory.maximumSteps + 1)
        #expect(lines[0].hasSuffix("200 steps, 0 s"))
    }

    private static let stories = Locked<[String]>([])

    @Test(
        "The recorder of a failed expectation is at hand for a trait",
        .compactMapIssues { issue in
            guard let recorder = EventRecorder.current else { return issue }
            Self.stories.withLock { $0.append("\(recorder.story)") }
            return nil
        }
    )
    func trait() async throws {
        try await recorder.withStory { #expect(Bool(false)) }
        #expect(Self.stories.withLock { $0 } == ["no events were recorded"])
    }
}

import EventBus
import EventBusInMemory
import EventBusTesting
import Testing

@Suite("Event recorder", .timeLimit(.minutes(1)))
struct EventRecorderTests {
    struct Ticked: Event {
        static let topic: Topic = "ticked"
        var number: Int
        var partitionKey: String? { "\(number % 3)" }
    }
    struct Broken: Error {}

    private func makeBus(_ recorder: EventRecorder, clock: ManualClock = ManualClock()) -> (EventBus, InMemoryBroker) {
        let broker = InMemoryBroker(clock: clock)
        var configuration = EventBusConfiguration()
        configuration.record(with: recorder)
        return (EventBus(transport: .inMemory(broker), configuration: configuration), broker)
    }

    @Test("When the broker is settled, everything is recorded")
    func complete() async throws {
        let recorder = EventRecorder()
        let (bus, broker) = makeBus(recorder)
        bus.subscribe(to: Ticked.self, group: "g") { _, _ in }
        try await bus.withRunning {
            for _ in 0..<300 {
                for number in 0..<10 { try await bus.publish(Ticked(number: number)) }
                try await broker.settled()
                #expect(try recorder.handled(Ticked.self, by: "g").count == 10)
                #expect(try recorder.published(Ticked.self).count == 10)
                recorder.reset()
            }
        }
    }

    @Test("Retries in the process are recorded, and the dead letter has the time of the first failure")
    func heldRetries() async throws {
        let recorder = EventRecorder()
        let (bus, broker) = makeBus(recorder)
        bus.subscribe(
            to: Ticked.self,
            group: "g",
            options: .init(retry: .fixed(.seconds(30), maximumAttempts: 3), ordering: .byPartitionKey)
        ) { _, _ in throw Broken() }
        try await bus.withRunning {
            try await bus.publish(Ticked(number: 1))
            try await broker.settled()
            #expect(recorder.settled.map(\.attempt) == [1, 2, 3])
            #expect(recorder.settled.map(\.isHeld) == [true, true, false])
            let letter = try #require(try await bus.deadLetters(of: "g").entries(limit: 1).first)
            #expect(letter.attempts == 3)
            let first = try #require(letter.firstFailure)
            #expect(first <= letter.lastFailure)
        }
    }

    @Test("A duplicate that an inbox suppressed counts as a duplicate, and not as handled")
    func duplicates() async throws {
        let recorder = EventRecorder()
        let (bus, broker) = makeBus(recorder)
        bus.subscribe(to: Ticked.self, group: "g", options: .init(inbox: broker.makeInbox())) { _, _ in }
        bus.subscribe(to: Ticked.self, group: "other") { _, _ in }
        try await bus.withRunning {
            for _ in 0..<3 { try await bus.publish(Ticked(number: 1), options: .init(id: "x")) }
            try await broker.settled()
            #expect(try recorder.handled(Ticked.self, by: "g").map(\.number) == [1])
            #expect(try recorder.duplicates(Ticked.self, by: "g").map(\.number) == [1, 1])
            #expect(try recorder.handled(Ticked.self, by: "other").count == 3)
            #expect(try recorder.duplicates(Ticked.self).count == 2)
        }
    }

    @Test("An event whose body went through a store is recorded as its handler received it")
    func storedBody() async throws {
        let recorder = EventRecorder()
        let broker = InMemoryBroker(clock: ManualClock())
        var configuration = EventBusConfiguration()
        configuration.record(with: recorder)
        configuration.claimCheck = ClaimCheck(store: InMemoryClaimCheckStore(), threshold: 64)
        let bus = EventBus(transport: .inMemory(broker), configuration: configuration)
        bus.subscribe(to: Noted.self, group: "g") { _, _ in }
        let text = String(repeating: "x", count: 500)
        try await bus.withRunning {
            try await bus.publish(Noted(text: text))
            #expect(try await recorder.waitForHandled(Noted.self).map(\.text) == [text])
        }
        #expect(try recorder.published(Noted.self).map(\.text) == [text])
    }

    struct Noted: Event {
        static let topic: Topic = "noted"
        var text: String
    }

    private struct InvoicedV1: Event {
        static let topic: Topic = "invoiced"
        var cents: Int
    }

    private struct Invoiced: Event {
        static let topic: Topic = "invoiced"
        static let version = 2
        var cents: Int
        var currency: String
    }

    @Test("An earlier version beside a type that it cannot be decoded as is left out")
    func versions() async throws {
        let recorder = EventRecorder()
        let (bus, broker) = makeBus(recorder)
        bus.subscribe(group: "ledger", name: "invoices") { handlers in
            handlers.on(Invoiced.self) { _ in }
            handlers.on(InvoicedV1.self, upTo: 1) { Invoiced(cents: $0.cents, currency: "EUR") }
        }
        try await bus.withRunning {
            try await bus.publish(InvoicedV1(cents: 1))
            try await bus.publish(Invoiced(cents: 2, currency: "CHF"))
            try await broker.settled()
        }
        #expect(try recorder.published(Invoiced.self).map(\.cents) == [2])
        #expect(try recorder.handled(Invoiced.self, by: "ledger").map(\.currency) == ["CHF"])
        #expect(try recorder.handled(InvoicedV1.self).map(\.cents).contains(1))
    }

    @Test("If events do not arrive, the error tells what happened instead")
    func missing() async throws {
        let recorder = EventRecorder()
        let (bus, broker) = makeBus(recorder)
        bus.subscribe(to: Ticked.self, group: "g", options: .init(retry: .never)) { _, _ in throw Broken() }
        try await bus.withRunning {
            try await bus.publish(Ticked(number: 1))
            try await broker.settled()
            let failure = await #expect(throws: ConformanceFailure.self) {
                _ = try await recorder.waitForHandled(Ticked.self, within: .milliseconds(1))
            }
            #expect(failure?.message.contains("dead letter: attempts_exhausted") == true)
        }
    }
}

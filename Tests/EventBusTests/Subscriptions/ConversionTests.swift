import EventBus
import EventBusInMemory
import EventBusTesting
import Testing

@Suite("Conversion of earlier versions", .timeLimit(.minutes(1)))
struct ConversionTests {
    private let broker = InMemoryBroker(clock: ManualClock())

    private struct InvoicedV1: Event {
        static let topic = Invoiced.topic
        var cents: Int
    }

    private struct InvoicedV2: Event {
        static let topic = Invoiced.topic
        static let version = 2
        var amount: Int
    }

    private struct Invoiced: Event, Equatable {
        static let topic: Topic = "invoice.issued"
        static let version = 3
        var amount: Int
        var currency: String
    }

    @Test("Each version is handled as the current type, in one order of keys", arguments: [false, true])
    func versions(conversionsFirst: Bool) async throws {
        let bus = EventBus(transport: .inMemory(broker))
        let handled = Locked<[Invoiced]>([])
        bus.subscribe(group: "ledger", name: "invoices", concurrency: 1) { handlers in
            if !conversionsFirst { handlers.on(Invoiced.self) { invoice in handled.withLock { $0.append(invoice) } } }
            handlers.on(InvoicedV2.self, upTo: 2) { Invoiced(amount: $0.amount, currency: "EUR") }
            handlers.on(InvoicedV1.self, upTo: 1) { Invoiced(amount: $0.cents, currency: "DEM") }
            if conversionsFirst { handlers.on(Invoiced.self) { invoice in handled.withLock { $0.append(invoice) } } }
        }
        try await bus.withRunning {
            try await bus.publish(InvoicedV1(cents: 1))
            try await bus.publish(InvoicedV2(amount: 2))
            try await bus.publish(Invoiced(amount: 3, currency: "CHF"))
            try await broker.settled()
            let expected = [("DEM", 1), ("EUR", 2), ("CHF", 3)].map { Invoiced(amount: $0.1, currency: $0.0) }
            #expect(handled.withLock { $0 } == expected)
        }
    }

    @Test("A type with handlers by pattern has its converted events handled by the one whose pattern matches")
    func byPattern() async throws {
        let bus = EventBus(transport: .inMemory(broker))
        let (domestic, foreign) = (Notes<Int>(), Notes<Int>())
        bus.subscribe(group: "ledger", name: "invoices", concurrency: 1) { handlers in
            handlers.on(Invoiced.self, matching: "invoice.issued.domestic") { invoice, _ in domestic.add(invoice.amount)
            }
            handlers.on(InvoicedV1.self, upTo: 1) { Invoiced(amount: $0.cents, currency: "EUR") }
            handlers.on(Invoiced.self, matching: "invoice.issued.foreign.*") { invoice, _ in foreign.add(invoice.amount)
            }
        }
        try await bus.withRunning {
            for (number, place) in ["domestic", "foreign.ch", "domestic"].enumerated() {
                let payload = Array(#"{"cents":\#(number)}"#.utf8)
                try await bus.publish(
                    Envelope(topic: try Topic(validating: "invoice.issued.\(place)"), payload: payload)
                )
            }
            try await broker.settled()
            #expect(domestic.values == [0, 2])
            #expect(foreign.values == [1])
        }
    }

    @Test("A handler of a replaced type does not make a conversion to that type valid")
    func replaced() async throws {
        let bus = EventBus(transport: .inMemory(broker))
        let subscription = bus.subscribe(group: "ledger", name: "invoices") { handlers in
            handlers.on(Invoiced.self) { _ in }
            handlers.on(InvoicedV2.self) { _ in }
            handlers.on(InvoicedV1.self, upTo: 1) { Invoiced(amount: $0.cents, currency: "EUR") }
        }
        let error = await #expect(throws: EventBusError.self) { try await subscription.attached() }
        #expect(error?.message.contains("no handler for Invoiced") == true)
    }

    @Test("An earlier event that cannot be decoded or converted becomes a dead letter after one attempt")
    func unconvertible() async throws {
        let bus = EventBus(transport: .inMemory(broker))
        bus.subscribe(group: "ledger", name: "invoices") { handlers in
            handlers.on(Invoiced.self) { _ in Issue.record("it was handled") }
            handlers.on(InvoicedV1.self, upTo: 1) { earlier -> Invoiced in
                #expect(earlier.cents == -1)
                throw Broken()
            }
        }
        try await bus.withRunning {
            try await bus.publish(InvoicedV1(cents: -1))
            try await bus.publish(Envelope(topic: Invoiced.topic, payload: Array("{}".utf8)))
            try await broker.settled()
            let letters = try await bus.deadLetters(of: "ledger").entries()
            #expect(letters.map(\.failure.reason) == [.undecodable, .undecodable])
            #expect(letters.contains { $0.failure.errorType.contains("Broken") })
        }
    }

    @Test("A conversion without a handler, or of the current version, is refused")
    func invalid() async throws {
        let bus = EventBus(transport: .inMemory(broker))
        let missing = bus.subscribe(group: "a", name: "invoices") { handlers in
            handlers.on("invoice.#") { _ in }
            handlers.on(InvoicedV1.self, upTo: 1) { Invoiced(amount: $0.cents, currency: "EUR") }
        }
        var error = await #expect(throws: EventBusError.self) { try await missing.attached() }
        #expect(error?.code == .invalidConfiguration)
        #expect(error?.message.contains("no handler for Invoiced") == true)
        let current = bus.subscribe(group: "b", name: "invoices") { handlers in
            handlers.on(Invoiced.self) { _ in }
            handlers.on(InvoicedV1.self, upTo: 3) { Invoiced(amount: $0.cents, currency: "EUR") }
        }
        error = await #expect(throws: EventBusError.self) { try await current.attached() }
        #expect(error?.message.contains("has version 3") == true)
    }
}

import EventBus
import EventBusInMemory
import EventBusTesting
import Testing

private struct CustomerOrdered: RoutedEvent, Equatable {
    static let topicTemplate: TopicPattern = "customer.*.ordered.*"
    static let version = 2
    var topicValues: [String] { [customerID, "\(number)"] }
    var customerID: String
    var number: Int
}

private struct CustomerOrderedV1: RoutedEvent {
    static let topicTemplate = CustomerOrdered.topicTemplate
    var topicValues: [String] { [customer, "0"] }
    var customer: String
}

private struct TooFew: RoutedEvent {
    static let topicTemplate: TopicPattern = "a.*.*"
    var topicValues: [String] { ["1"] }
}

private struct TooMany: RoutedEvent {
    static let topicTemplate: TopicPattern = "a.*"
    var topicValues: [String] { ["1", "2"] }
}

private struct AnyNumber: RoutedEvent {
    static let topicTemplate: TopicPattern = "a.#"
    var topicValues: [String] { ["1"] }
}

private struct RegionalQuote: RequestEvent, RoutedEvent {
    typealias Reply = String
    static let topicTemplate: TopicPattern = "quote.*"
    var topicValues: [String] { [region] }
    var region: String
}

@Suite("Topics that contain values", .timeLimit(.minutes(1)))
struct RoutedEventTests {
    private let broker = InMemoryBroker(clock: ManualClock())
    private let bus: EventBus

    init() {
        bus = EventBus(transport: .inMemory(broker))
    }

    @Test("A topic is made of words, and a word that would be several is refused")
    func words() throws {
        #expect(try Topic(words: ["customer", "7", "ördered"]) == "customer.7.ördered")
        let invalid: [(words: [String], problem: String)] = [
            (["customer", "7.8"], "\"7.8\" cannot be word 2 of a topic: it contains a dot"),
            (["a", ""], "it is empty"),
            (["a", "*"], "wildcards"), (["#", "a"], "wildcards"), (["a", "b c"], "white space"),
            (["a\u{0}"], "control"),
            ([], "empty"), ([String(repeating: "a", count: 201)], "201 bytes"),
            ([String(repeating: "a", count: 150), String(repeating: "b", count: 50)], "201 bytes"),
        ]
        for (words, problem) in invalid {
            let error = #expect(throws: EventBusError.self) { try Topic(words: words) }
            #expect(error?.code == .invalidTopic)
            #expect(error?.message.contains(problem) == true, "\(String(describing: error?.message))")
        }
    }

    @Test("An event has the topic of its values, and its type the pattern of all of them")
    func topic() throws {
        let event = CustomerOrdered(customerID: "7", number: 3)
        #expect(try event.resolveTopic() == "customer.7.ordered.3")
        #expect(try bus.envelope(for: event).topic == "customer.7.ordered.3")
        #expect(CustomerOrdered.topic == "customer._.ordered._")
        #expect(OrderCreated.topicPattern == "order.created")
        #expect(CustomerOrdered.topicPattern == "customer.*.ordered.*")
        #expect(try OrderCreated(orderID: "1").resolveTopic() == OrderCreated.topic)
    }

    @Test("Values that do not fit the pattern are refused with an error that says so")
    func mismatch() throws {
        func message(_ event: some Event) -> String {
            do throws(EventBusError) {
                let topic = try event.resolveTopic()
                return topic.rawValue
            } catch {
                return error.message
            }
        }
        #expect(message(TooFew()).contains("has 2 wildcards, but the event has 1 topicValues"))
        #expect(message(TooMany()).contains("has 1 wildcards, but the event has 2 topicValues"))
        #expect(message(AnyNumber()).contains("contains #"))
    }

    @Test("Typed handlers receive all topics of the type, or those that match a pattern")
    func subscriptions() async throws {
        let handled = Locked<[String: [String]]>([:])
        let note: @Sendable (String, CustomerOrdered) -> Void = { name, event in
            handled.withLock { $0[name, default: []].append("\(event.customerID)/\(event.number)") }
        }
        bus.subscribe(to: CustomerOrdered.self, group: "all", concurrency: 1) { event in
            note("all", event)
        }
        bus.subscribe(
            to: CustomerOrdered.self,
            matching: "customer.7.#",
            group: "seven",
            concurrency: 1
        ) { event, _ in
            note("seven", event)
        }
        bus.subscribe(to: CustomerOrdered.self, matching: "customer.8.ordered.1", group: "exact") {
            event in
            note("exact", event)
        }
        bus.subscribe(group: "mixed", name: "mixed", concurrency: 1) { handlers in
            handlers.on(CustomerOrdered.self, matching: "customer.8.ordered.*") { event in
                note("mixed", event)
            }
            handlers.on(OrderCreated.self) { _ in }
        }
        try await bus.withRunning {
            for (customer, number) in [("7", 1), ("8", 1), ("7", 2), ("8", 2)] {
                try await bus.publish(CustomerOrdered(customerID: customer, number: number))
            }
            try await bus.publish(CustomerOrdered(customerID: "7", number: 3), delay: .seconds(5))
            try await broker.settled()
        }
        #expect(
            handled.withLock { $0 } == [
                "all": ["7/1", "8/1", "7/2", "8/2", "7/3"], "seven": ["7/1", "7/2", "7/3"],
                "exact": ["8/1"],
                "mixed": ["8/1", "8/2"],
            ]
        )
    }

    @Test("Publishing an event whose value is no word throws, alone and in a batch, and when handled")
    func refused() async throws {
        bus.subscribe(
            to: OrderCreated.self,
            group: "g",
            retry: .never,
            options: .init(publishing: .whenHandled)
        ) { [bus] _ in
            try await bus.publish(CustomerOrdered(customerID: "7.8", number: 1))
        }
        try await bus.withRunning {
            let error = await #expect(throws: EventBusError.self) {
                try await bus.publish(CustomerOrdered(customerID: "7.8", number: 1))
            }
            #expect(error?.code == .invalidTopic)
            let results = try await bus.publish(
                contentsOf: ["7", "", "8"].map { CustomerOrdered(customerID: $0, number: 1) }
            )
            #expect(results.map { (try? $0.get()) != nil } == [true, false, true])
            try await bus.publish(OrderCreated(orderID: "1"))
            try await broker.settled()
            let letter = try await bus.deadLetters(of: "g").entries(limit: 1).first
            #expect(letter?.failure.message.contains("cannot be word 2") == true)
        }
    }

    @Test("Earlier versions of such an event are converted")
    func conversion() async throws {
        let handled = Locked<[CustomerOrdered]>([])
        bus.subscribe(group: "g", name: "orders", concurrency: 1) { handlers in
            handlers.on(CustomerOrderedV1.self, upTo: 1) {
                CustomerOrdered(customerID: $0.customer, number: 0)
            }
            handlers.on(CustomerOrdered.self) { event in handled.withLock { $0.append(event) } }
        }
        try await bus.withRunning {
            try await bus.publish(CustomerOrderedV1(customer: "7"))
            try await bus.publish(CustomerOrdered(customerID: "8", number: 1))
            try await broker.settled()
        }
        #expect(handled.withLock { $0.map(\.customerID) } == ["7", "8"])
    }

    @Test("Local listeners receive such an event by type and by its topic, as it is published")
    func local() async throws {
        let seen = Locked<[String]>([])
        let note: @Sendable (String) -> Void = { text in seen.withLock { $0.append(text) } }
        bus.local.on(CustomerOrdered.self) { note("type \($0.number)") }
        bus.local.on("customer.7.#") { note("seven \($0.topic)") }
        bus.local.on("customer.*.ordered.2") { note("second \($0.topic)") }
        bus.local.on("order.created") { note("other \($0.topic)") }
        let listener = bus.local.on("customer.7.#") { event in
            await Task.yield()
            note("async \(event.topic)")
        }
        #expect(bus.local.hasListeners(for: CustomerOrdered.self))
        try await bus.withRunning {
            try await bus.publish(CustomerOrdered(customerID: "7", number: 1))
            try await bus.publish(CustomerOrdered(customerID: "8", number: 2))
            await bus.local.idle()
        }
        #expect(
            seen.withLock { $0.sorted() } == [
                "async customer.7.ordered.1", "second customer.8.ordered.2", "seven customer.7.ordered.1",
                "type 1",
                "type 2",
            ]
        )
        seen.withLock { $0 = [] }
        listener.remove()
        try await bus.local.emitAndWait(CustomerOrdered(customerID: "7", number: 2))
        #expect(
            seen.withLock { $0.sorted() }
                == ["second customer.7.ordered.2", "seven customer.7.ordered.2", "type 2"]
        )
        seen.withLock { $0 = [] }
        // It cannot be published, and local listeners see its type's name.
        bus.local.emit(CustomerOrdered(customerID: "7.8", number: 2))
        bus.local.on("customer._.ordered._") { note("name \($0.topic)") }
        bus.local.emit(CustomerOrdered(customerID: "7.8", number: 2))
        #expect(seen.withLock { $0 } == ["type 2", "type 2", "name customer._.ordered._"])
    }

    @Test("A failure of a listener names the topic of the event")
    func listenerFailure() {
        let failures = Locked<[Topic]>([])
        let emitter = LocalEmitter(onError: { failure in failures.withLock { $0.append(failure.topic) }
        })
        emitter.on(CustomerOrdered.self) { _ in throw Broken() }
        emitter.on("customer.#") { _ in throw Broken() }
        emitter.emit(CustomerOrdered(customerID: "7", number: 1))
        #expect(failures.withLock { $0 } == ["customer.7.ordered.1", "customer.7.ordered.1"])
    }

    @Test("A recorder finds such events by their type")
    func recorder() async throws {
        let recorder = EventRecorder()
        var configuration = EventBusConfiguration()
        configuration.record(with: recorder)
        let bus = EventBus(transport: .inMemory(broker), configuration: configuration)
        bus.subscribe(to: CustomerOrdered.self, group: "g") { _ in }
        let event = CustomerOrdered(customerID: "7", number: 1)
        try await bus.withRunning {
            try await bus.publish(event)
            try await broker.settled()
        }
        #expect(try recorder.published(CustomerOrdered.self) == [event])
        #expect(try recorder.handled(CustomerOrdered.self, by: "g") == [event])
    }

    @Test("A request may go to a topic with its values")
    func request() async throws {
        bus.respond(to: RegionalQuote.self, group: "quotes") { request, context in
            "\(request.region) at \(context.topic)"
        }
        try await bus.withRunning {
            let quote = try await bus.request(RegionalQuote(region: "eu"), timeout: .seconds(5))
            #expect(quote == "eu at quote.eu")
        }
    }
}

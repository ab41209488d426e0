import EventBus
import EventBusInMemory
import EventBusTesting
import InMemoryLogging
import Logging
import Testing

private struct OrderPlaced: Event, Equatable {
    static let topic: Topic = "order.placed"
    static let version = 2
    var orderID: String
    var partitionKey: String? { "key-\(orderID)" }
}

private struct TenantFilter: ConsumeMiddleware {
    func consume(_ context: EventContext, next: ConsumeNext) async throws {
        guard context.headers["tenant"] == "acme" else { return }
        try await next(context)
    }
}

private struct TenantHeader: PublishMiddleware {
    func publish(_ event: OutgoingEvent, next: PublishNext) async throws -> PublishReceipt {
        var event = event
        event.envelope.headers["tenant"] = "acme"
        return try await next(event)
    }
}

private struct Failed: Error {}

@Suite("Handlers and middleware without a bus", .timeLimit(.minutes(1)))
struct HandlingTests {
    private let order = OrderPlaced(orderID: "42")

    @Test("A context has what a handler asks for")
    func context() throws {
        let log = InMemoryLogHandler()
        let context = try EventContext(
            handling: order,
            headers: ["tenant": "acme"],
            attempt: 3,
            isLastAttempt: true,
            logger: Logger(label: "test") { _ in log }
        )
        #expect(context.attempt == 3)
        #expect(context.isLastAttempt)
        #expect(context.topic == OrderPlaced.topic)
        #expect(context.headers == ["tenant": "acme"])
        #expect(context.envelope.partitionKey == "key-42")
        #expect(context.envelope.version == 2)
        #expect(context.correlationID == CorrelationID(context.id))
        #expect(context.subscription.queueName == "test.test")
        #expect(context.inboxKey.eventID == context.id)
        context.logger.info("hello")
        #expect(log.entries.first?.metadata["attempt"] == "3")
        #expect(!context.isRevoked)
        context.revoke()
        #expect(context.isRevoked)
    }

    @Test("A context of an envelope keeps its id, key and correlation")
    func envelope() throws {
        let options = PublishOptions(partitionKey: "7", id: "order-42", correlationID: "chain")
        let context = EventContext(
            handling: try Envelope(of: order, options: options),
            group: "billing",
            name: "orders"
        )
        #expect(context.id == "order-42")
        #expect(context.envelope.partitionKey == "7")
        #expect(context.correlationID == "chain")
        #expect(context.subscription.queueName == "billing.orders")
    }

    @Test("A handler can be called and cancelled directly")
    func handler() async throws {
        @Sendable func handle(_ order: OrderPlaced, _ context: EventContext) async throws {
            if context.attempt == 1 { throw Failed() }
            while !context.isRevoked {
                try Task.checkCancellation()
                await Task.yield()
            }
        }
        let order = order
        await #expect(throws: Failed.self) { try await handle(order, EventContext(handling: order)) }
        let context = try EventContext(handling: order, attempt: 2)
        let cancelled = Task { try await handle(order, context) }
        cancelled.cancel()
        await #expect(throws: CancellationError.self) { try await cancelled.value }
        let revoked = Task { try await handle(order, context) }
        context.revoke()
        try await revoked.value
    }

    @Test("What a handler publishes belongs to the handled event, with the same ids at every attempt")
    func correlation() async throws {
        let bus = EventBus(transport: .inMemory())
        let envelope = try Envelope(of: order, options: .init(id: "order-42", correlationID: "chain"))
        var published: [Envelope] = []
        for attempt in 1...2 {
            let context = EventContext(handling: envelope, attempt: attempt)
            published += try await context.run { context in
                #expect(context.attempt == attempt)
                return [
                    try bus.envelope(for: OrderPlaced(orderID: "43")),
                    try bus.envelope(for: OrderPlaced(orderID: "44")),
                ]
            }
        }
        #expect(published.allSatisfy { $0.correlationID == "chain" && $0.causationID == "order-42" })
        #expect(published[0].id == published[2].id)
        #expect(published[1].id == published[3].id)
        #expect(published[0].id != published[1].id)
        #expect(try bus.envelope(for: order).causationID == nil)
    }

    @Test("A middleware for deliveries is tested with a closure as the rest of the chain")
    func consume() async throws {
        let order = order
        try await confirmation(expectedCount: 1) { handled in
            for tenant in ["acme", "other"] {
                let context = try EventContext(handling: order, headers: ["tenant": .string(tenant)])
                try await TenantFilter().consume(context, next: ConsumeNext { _ in handled() })
            }
        }
    }

    @Test("A middleware for published events is tested with a closure as the rest of the chain")
    func publish() async throws {
        let outgoing = try OutgoingEvent(of: order, options: .init(delay: .seconds(5), priority: 3, id: "order-42"))
        #expect(outgoing.delay == .seconds(5))
        #expect(outgoing.priority == 3)
        let receipt = try await TenantHeader().publish(
            outgoing,
            next: PublishNext { event in
                #expect(event.envelope.headers["tenant"] == "acme")
                return PublishReceipt(id: event.envelope.id, outcome: .routed)
            }
        )
        #expect(receipt.id == "order-42")
    }

    @Test("The library's middleware works with such a context")
    func ownMiddleware() async throws {
        let context = try EventContext(handling: order)
        let inbox = DeduplicationMiddleware(inbox: InMemoryInbox()).prepared(for: context.subscription)
        try await confirmation(expectedCount: 1) { handled in
            try await inbox.consume(context, next: ConsumeNext { _ in handled() })
        }
        await #expect(throws: Failed.self) {
            try await TimeoutMiddleware(.seconds(1)).consume(context, next: ConsumeNext { _ in throw Failed() })
        }
    }

    @Test("A received event is decoded, and one that cannot be is an error")
    func received() throws {
        let event = try ReceivedEvent(of: order, headers: ["tenant": "acme"])
        #expect(try event.decoded(as: OrderPlaced.self) == order)
        #expect(event.envelope.headers["tenant"] == "acme")
        let broken = ReceivedEvent(Envelope(topic: "order.placed", payload: [0xFF]))
        #expect(throws: EventBusError.self) { try broken.decoded(as: OrderPlaced.self) }
    }

    @Test("The outcome of a delivery is made for an observer")
    func settled() throws {
        let recorder = EventRecorder()
        let context = try EventContext(handling: order, attempt: 2)
        recorder.didSettle(SettledDelivery(of: context, as: .acknowledged))
        recorder.didSettle(SettledDelivery(of: context, as: .requeued, isHeld: true))
        #expect(try recorder.handled(OrderPlaced.self, by: "test") == [order])
        #expect(recorder.settled.map(\.attempt) == [2, 2])
        #expect(recorder.settled.map(\.isHeld) == [false, true])
    }
}

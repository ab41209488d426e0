import EventBus
import EventBusInMemory
import EventBusOutbox
import EventBusTesting
import Testing

@testable import EventBusPostgres

@Suite("Events that a handler of a foreign event stores in PostgreSQL", .timeLimit(.minutes(2)))
struct ForeignCauseTests {
    private struct Shipped: Event {
        static let topic: Topic = "order.shipped"
        var number: Int
    }

    @Test("An id with U+0000 is stored as a digest, and the statement can be carried out")
    func nulls() async throws {
        let scene = Scene(try await TestPostgres.database(), hasSubscriber: false)
        let rows = Locked<[PostgresStatement]>([])
        let options = SubscriptionOptions(
            retry: .fixed(.milliseconds(1), maximumAttempts: 2),
            breaker: CircuitBreaker(minimumAttempts: 1)
        )
        scene.bus.subscribe(to: OrderPlaced.self, group: "shipping", options: options) { order, context in
            let derived = try scene.outbox.row(for: Shipped(number: order.number))
            // An event that is passed on names the causes that its publisher chose.
            var passed = context.envelope
            passed.id = EventID()
            passed.topic = Shipped.topic
            let row = try scene.outbox.row(for: passed)
            rows.withLock { $0 += [derived, row] }
        }
        let nasty = "a\u{0}b"
        let order = OrderPlaced(orderID: "1", number: 1)
        var forged = try scene.bus.envelope(for: order, options: .init(id: EventID(nasty)))
        let first = forged
        forged.id = "2"
        forged.correlationID = CorrelationID(nasty)
        forged.causationID = EventID(nasty)
        let second = forged
        try await scene.run {
            try await scene.bus.publish(first)
            try await scene.bus.publish(second)
            try await eventually("both are handled") { rows.withLock { $0.count } == 4 }
        }
        for row in rows.withLock({ $0 }) { try await scene.database.client.run([row]) }
        let backlog = try await scene.outbox.backlog()
        #expect(backlog.count + backlog.parked <= 4)
    }
}

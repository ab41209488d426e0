import EventBus
import EventBusOutbox
import EventBusTesting
import Testing

@testable import EventBusPostgres

@Suite("The identity of events that a handler stores in PostgreSQL", .timeLimit(.minutes(2)))
struct DerivedIdentityTests {
    private struct Shipped: Event {
        static let topic: Topic = "order.shipped"
        var number: Int
    }

    private struct Crash: Error {}

    @Test(
        "A crash after the commit has one effect downstream, and two without derived identities",
        arguments: [true, false]
    )
    func oneEffect(derives: Bool) async throws {
        let scene = Scene(try await TestPostgres.database(), hasSubscriber: false)
        var options = SubscriptionOptions(concurrency: 4, retry: .fixed(.milliseconds(1), maximumAttempts: 2))
        options.derivesEventIDs = derives
        scene.bus.subscribe(to: OrderPlaced.self, group: "shipping", options: options) { order, context in
            let row = try scene.outbox.row(for: Shipped(number: order.number))
            try await scene.database.client.run([PostgresStatement("BEGIN"), row, PostgresStatement("COMMIT")])
            if context.attempt == 1 { throw Crash() }
        }
        let effects = Locked<[Int: Int]>([:])
        let arrivals = Arrivals()
        let inbox = SubscriptionOptions(inbox: PostgresInbox(scene.database.client), observers: [arrivals])
        scene.bus.subscribe(to: Shipped.self, group: "mail", options: inbox) { shipped in
            effects.withLock { $0[shipped.number, default: 0] += 1 }
        }
        try await scene.run {
            for number in 0..<50 { try await scene.bus.publish(OrderPlaced(orderID: "\(number)", number: number)) }
            try await eventually("both attempts of every order are published", within: .seconds(60)) {
                arrivals.count == 100
            }
        }
        #expect(effects.withLock { $0 }.count == 50)
        #expect(effects.withLock { $0 }.values.allSatisfy { $0 == (derives ? 1 : 2) })
    }
}

/// An observer that counts the deliveries that are acknowledged, with those that the inbox knew.
private final class Arrivals: DeliveryObserver {
    private let acknowledged = Locked(0)

    var count: Int { acknowledged.withLock { $0 } }

    func didSettle(_ delivery: SettledDelivery) {
        if case .acknowledged = delivery.disposition { acknowledged.withLock { $0 += 1 } }
    }
}

import EventBus
import EventBusRabbit
import Testing

@testable import EventBusCommands

/// The steps from one release to the next, from files and the counts of queues.
struct TopologyRevisionTests {
    private func topology(
        group: String = "inventory",
        exchange: String = "events",
        _ subscriptions: (name: String, patterns: [TopicPattern], former: [TopicPattern])...
    ) throws -> RabbitTopology {
        var configuration = try RabbitConfiguration(uri: "amqp://localhost")
        configuration.exchange = exchange
        let specifications = subscriptions.map {
            QueueSpecification(
                group: group,
                name: $0.name,
                patterns: $0.patterns,
                formerPatterns: $0.former,
                prefetch: 1
            )
        }
        return RabbitTopology(of: specifications, with: configuration)
    }

    private func changes(
        from former: [RabbitTopology],
        to current: [RabbitTopology],
        _ counts: [String: (events: Int, consumers: Int)] = [:]
    ) -> [TopologyChange] {
        let revision = TopologyRevision(current: current, former: former)
        return revision.changes(
            [],
            revision.allQueues.map { name in
                counts[name].map { BrokerInspection.Queue(name: name, events: $0.events, consumers: $0.consumers) }
                    ?? BrokerInspection.Queue(name: name, isMissing: true)
            }
        )
    }

    @Test func `queues that no service needs are named with the events and consumers that they strand`() throws {
        let old = try topology(("orders", ["order.created"], []), ("cancelled", ["order.cancelled"], []))
        let new = try topology(("orders", ["order.created"], []))
        #expect(changes(from: [old], to: [new]).isEmpty)
        let full = changes(from: [old], to: [new], ["inventory.cancelled": (1204, 0), "inventory.orders": (7, 1)])
        #expect(full.map(\.line) == ["- inventory.cancelled: no service needs it any more; it holds 1,204 events"])
        #expect(full.map(\.strands) == [true])
        let used = changes(from: [old], to: [new], ["inventory.cancelled": (0, 2)])
        #expect(
            used.map(\.line) == ["- inventory.cancelled: no service needs it any more; it holds 0 events, 2 consumers"]
        )
        #expect(used.map(\.strands) == [true])
        #expect(changes(from: [old], to: [new], ["inventory.cancelled": (0, 0)]).map(\.strands) == [false])
    }

    @Test func `the dead letters of a group that ends are named`() throws {
        let old = try topology(group: "billing", ("orders", ["order.created"], []))
        let new = try topology(("orders", ["order.created"], []))
        let changes = changes(from: [old], to: [new], ["billing.dead": (3, 0), "inventory.dead": (5, 0)])
        #expect(changes.map(\.object) == ["billing.dead"])
        #expect(changes.map(\.strands) == [true])
    }

    @Test func `a pattern that is dropped without being unbound is named`() throws {
        let old = try topology(("orders", ["order.#", "stock.#"], []))
        let new = try topology(("orders", ["order.created"], ["stock.#"]))
        let steps = changes(from: [old], to: [new])
        #expect(steps.map(\.action) == [.staysBound, .unbind])
        #expect(steps.map(\.strands) == [true, false])
        #expect(steps[0].remedy?.contains("formerPatterns") == true)
        let moved = changes(from: [old], to: [try topology(exchange: "shop", ("orders", ["order.#", "stock.#"], []))])
        #expect(moved.map(\.line) == ["~ inventory.orders: it stays bound to the exchange events too"])
    }

    @Test func `numbers are grouped by thousands`() {
        #expect(
            [0, 12, 999, 1204, 1_000_000, -1204].map(\.grouped) == ["0", "12", "999", "1,204", "1,000,000", "-1,204"]
        )
        #expect(1.counted("event") == "1 event")
        #expect(1204.counted("event") == "1,204 events")
    }
}

import EventBus
import Testing

@testable import EventBusInMemory

@Suite("Broker state: routing", .timeLimit(.minutes(1)))
struct RoutingTests {
    @Test("An event reaches every queue bound to its topic once")
    func patterns() throws {
        let machine = BrokerMachine()
        let several = try machine.attach(.sample("a", patterns: ["order.created", "order.*", "#"]))
        let deep = try machine.attach(.sample("b", patterns: ["order.#"]))
        let other = try machine.attach(.sample("c", patterns: ["order"]))
        #expect(machine.publish("1").outcome == .routed)
        #expect(machine.texts(several) == ["1"])
        #expect(machine.texts(deep) == ["1"])
        #expect(machine.texts(other).isEmpty)
    }

    @Test("An event without a matching queue is unroutable")
    func unroutable() throws {
        let machine = BrokerMachine()
        _ = try machine.attach(.sample())
        #expect(machine.publish("1", topic: "user.created").outcome == .unroutable)
    }

    @Test("A binding made after an event was routed applies to the next one")
    func cacheIsInvalidated() throws {
        let machine = BrokerMachine()
        #expect(machine.publish("1").outcome == .unroutable)
        let first = try machine.attach(.sample("a"))
        machine.publish("2")
        let second = try machine.attach(.sample("b"))
        machine.publish("3")
        #expect(machine.texts(first) == ["2", "3"])
        #expect(machine.texts(second) == ["3"])
    }

    @Test("Attaching to an existing queue adds its patterns and removes former ones")
    func rebinding() throws {
        let machine = BrokerMachine()
        let first = try machine.attach(.sample(patterns: ["order.created"]))
        machine.close(first)
        var renamed = QueueSpecification.sample(patterns: ["order.placed"])
        renamed.formerPatterns = ["order.created", "order.placed"]
        let second = try machine.attach(renamed)
        #expect(machine.publish("1", topic: "order.created").outcome == .unroutable)
        #expect(machine.publish("2", topic: "order.placed").outcome == .routed)
        let third = try machine.attach(.sample(patterns: ["order.shipped"]))
        #expect(machine.publish("3", topic: "order.placed").outcome == .routed)
        #expect(machine.publish("4", topic: "order.shipped").outcome == .routed)
        #expect(machine.texts(second) + machine.texts(third) == ["2", "3", "4"])
    }

    @Test("A queue with another ordering is a topology clash that names the queue")
    func clash() throws {
        let machine = BrokerMachine()
        _ = try machine.attach(.sample())
        let error = #expect(throws: EventBusError.self) {
            try machine.attach(.sample(singleActiveConsumer: true))
        }
        #expect(error?.code == .topologyClash)
        #expect(error?.message.contains("stock.orders") == true)
    }

    @Test("Every broadcast consumer gets every event until it is gone")
    func broadcast() throws {
        let machine = BrokerMachine()
        let first = try machine.attach(.sample(broadcast: true))
        let second = try machine.attach(.sample(broadcast: true))
        machine.publish("1")
        machine.close(first)
        machine.publish("2")
        #expect(machine.texts(first) == ["1"])
        #expect(machine.texts(second) == ["1", "2"])
        machine.close(second)
        #expect(machine.publish("3").outcome == .unroutable)
        #expect(machine.state.snapshots().isEmpty)
        #expect(machine.state.readyCount == 0)
        #expect(machine.state.unsettledCount == 0)
    }

    @Test("A broadcast queue ends with its connection and is created again")
    func broadcastLoss() throws {
        let machine = BrokerMachine()
        let consumer = try machine.attach(.sample(prefetch: 1, broadcast: true))
        machine.publish("1")
        machine.publish("2")
        machine.loseConnection()
        machine.publish("3")
        #expect(machine.texts(consumer) == ["1", "3"])
        #expect(machine.state.snapshots().count == 1)
    }

    @Test("The number of cached topics is bounded")
    func boundedCache() {
        var routes = RouteTable()
        routes.bind("#", to: 7)
        for index in 0..<30_000 {
            guard let topic = try? Topic(validating: "foreign.t\(index)") else { continue }
            #expect(routes.queues(for: topic) == [7])
        }
        #expect(routes.cachedTopicCount <= 10_000)
    }
}

import EventBus
import Testing

@testable import EventBusInMemory

@Suite("Broker state: delivering", .timeLimit(.minutes(1)))
struct DeliveringTests {
    @Test("A consumer never holds more unsettled deliveries than its prefetch")
    func prefetch() throws {
        let machine = BrokerMachine()
        let consumer = try machine.attach(.sample(prefetch: 2))
        for text in ["a", "b", "c", "d"] { machine.publish(text) }
        #expect(machine.texts(consumer) == ["a", "b"])
        machine.settle(machine.deliveries(consumer)[1], of: consumer)
        #expect(machine.texts(consumer) == ["a", "b", "c"])
        #expect(machine.state.snapshots().map(\.unsettled) == [2])
        #expect(machine.state.snapshots().map(\.ready) == [1])
    }

    @Test("Competing consumers take turns, and each event goes to one of them")
    func roundRobin() throws {
        let machine = BrokerMachine()
        let first = try machine.attach(.sample(prefetch: 2))
        let second = try machine.attach(.sample(prefetch: 3))
        for text in ["a", "b", "c", "d", "e", "f"] { machine.publish(text) }
        #expect(machine.texts(first) == ["a", "c"])
        #expect(machine.texts(second) == ["b", "d", "e"])
        machine.settle(machine.deliveries(first)[0], of: first)
        #expect(machine.texts(first) == ["a", "c", "f"])
    }

    @Test("A queue keeps collecting events without consumers")
    func durableQueue() throws {
        let machine = BrokerMachine()
        let first = try machine.attach(.sample())
        machine.close(first)
        #expect(machine.publish("a").outcome == .routed)
        let second = try machine.attach(.sample())
        #expect(machine.texts(second) == ["a"])
    }

    @Test("Unsettled deliveries of a closed consumer precede the rest, in order and as the same attempt")
    func closeReturns() throws {
        let machine = BrokerMachine()
        let first = try machine.attach(.sample(prefetch: 4))
        for text in ["a", "b", "c", "d", "e", "f"] { machine.publish(text) }
        // Settled out of order, so that slots are reused in another order than that of arrival.
        machine.settle(machine.deliveries(first)[1], of: first)
        machine.settle(machine.deliveries(first)[0], of: first)
        #expect(machine.texts(first) == ["a", "b", "c", "d", "e", "f"])
        machine.publish("g")
        machine.close(first)
        let second = try machine.attach(.sample(prefetch: 10))
        #expect(machine.texts(second).suffix(5) == ["c", "d", "e", "f", "g"])
        #expect(machine.deliveries(second).allSatisfy { $0.redeliveries == 0 && $0.attempt == 1 })
    }

    @Test("Deliveries that two consumers return one after the other keep the order of the queue")
    func interleavedReturns() throws {
        let machine = BrokerMachine()
        let first = try machine.attach(.sample(prefetch: 2))
        let second = try machine.attach(.sample(prefetch: 2))
        for text in ["a", "b", "c", "d", "e"] { machine.publish(text) }
        machine.stop(first)
        machine.stop(second)
        machine.close(first)
        machine.close(second)
        let third = try machine.attach(.sample(prefetch: 10))
        #expect(machine.texts(third).suffix(5) == ["a", "b", "c", "d", "e"])
    }

    @Test("A returned delivery is redelivered as the same attempt")
    func requeued() throws {
        let machine = BrokerMachine()
        let consumer = try machine.attach(.sample(prefetch: 1))
        machine.publish("a")
        machine.publish("b")
        machine.settle(machine.deliveries(consumer)[0], of: consumer, as: .requeued)
        #expect(machine.texts(consumer) == ["a", "a"])
        #expect(machine.deliveries(consumer)[1].attempt == 1)
        #expect(machine.deliveries(consumer)[1].redeliveries == 0)
    }

    @Test("A stopped consumer gets no more deliveries and may settle the ones it has")
    func stopped() throws {
        let machine = BrokerMachine()
        let consumer = try machine.attach(.sample(prefetch: 1))
        machine.publish("a")
        machine.publish("b")
        machine.stop(consumer)
        let held = machine.deliveries(consumer)[0]
        let isSettled = machine.settle(held, of: consumer)
        #expect(isSettled)
        #expect(machine.texts(consumer) == ["a"])
        #expect(machine.state.readyCount == 1)
    }

    @Test("A delivery can be settled once")
    func settleTwice() throws {
        let machine = BrokerMachine()
        let consumer = try machine.attach(.sample())
        machine.publish("a")
        let delivery = machine.deliveries(consumer)[0]
        #expect(machine.settle(delivery, of: consumer))
        machine.publish("b")
        #expect(!machine.settle(delivery, of: consumer))
        #expect(machine.state.unsettledCount == 1)
    }

    @Test("A handle of a closed consumer does not affect the consumer in the same slot")
    func reusedPlace() throws {
        let machine = BrokerMachine()
        let first = try machine.attach(.sample())
        machine.close(first)
        let second = try machine.attach(.sample())
        machine.publish("a")
        #expect(first.slot == second.slot)
        let delivery = machine.deliveries(second)[0]
        #expect(!machine.settle(delivery, of: first))
        machine.close(first)
        #expect(machine.settle(delivery, of: second))
    }

    @Test("Nothing of an event is left after it is settled")
    func noResidue() throws {
        let machine = BrokerMachine()
        let consumer = try machine.attach(.sample(prefetch: 3))
        for index in 0..<1000 {
            machine.publish("\(index)")
            machine.settle(machine.deliveries(consumer)[index], of: consumer)
        }
        #expect(machine.state.consumers[consumer.slot].unsettledCount == 0)
        #expect(machine.state.consumers[consumer.slot].slotCount == 1)
        #expect(machine.state.queues[0].readyCount == 0)
    }
}

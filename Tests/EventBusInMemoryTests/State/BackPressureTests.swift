import EventBus
import Testing

@testable import EventBusInMemory

@Suite("Broker state: full queues", .timeLimit(.minutes(1)))
struct BackPressureTests {
    private func block(_ text: String, on queue: Int, until seconds: Int = 30, _ machine: BrokerMachine) -> UInt64 {
        machine.step { state, _ in
            state.block(.sample(text), extras: nil, on: queue, until: .at(seconds), waiter: OneShot())
        }
    }

    @Test("A full queue accepts nothing, and neither do the other queues for that event")
    func full() throws {
        let machine = BrokerMachine(maximumQueueLength: 1)
        _ = try machine.attach(.sample(prefetch: 1))
        let other = try machine.attach(.sample("mail", prefetch: 10))
        #expect(machine.publish("a").outcome == .routed)
        #expect(machine.publish("b").outcome == .routed)
        #expect(machine.publish("c").outcome == nil)
        #expect(machine.texts(other) == ["a", "b"])
    }

    @Test("Waiting publishes proceed in order as room is made, before later ones")
    func admission() throws {
        let machine = BrokerMachine(maximumQueueLength: 1)
        let consumer = try machine.attach(.sample(prefetch: 1))
        machine.publish("a")
        machine.publish("b")
        _ = block("c", on: 0, machine)
        _ = block("d", on: 0, machine)
        machine.settle(machine.deliveries(consumer)[0], of: consumer)
        #expect(machine.state.blockedPublishes.count == 1)
        #expect(machine.publish("e").outcome == nil)
        for index in 1..<4 { machine.settle(machine.deliveries(consumer)[index], of: consumer) }
        #expect(machine.texts(consumer) == ["a", "b", "c", "d"])
        #expect(machine.state.blockedPublishes.isEmpty)
        #expect(machine.answers.count == 2)
    }

    @Test("A publish that gave up waiting is not sent")
    func givenUp() throws {
        let machine = BrokerMachine(maximumQueueLength: 1)
        let consumer = try machine.attach(.sample(prefetch: 1))
        machine.publish("a")
        machine.publish("b")
        let number = block("c", on: 0, machine)
        machine.step { state, effects in state.unblock(number, cancelled: false, &effects) }
        for index in 0..<2 { machine.settle(machine.deliveries(consumer)[index], of: consumer) }
        #expect(machine.texts(consumer) == ["a", "b"])
        #expect(machine.state.readyCount == 0)
    }

    @Test("A publish that waits past its deadline gives up, and one check at a time serves all of them")
    func overdue() throws {
        let machine = BrokerMachine(maximumQueueLength: 1)
        _ = try machine.attach(.sample(prefetch: 1))
        machine.publish("a")
        machine.publish("b")
        func expect(_ seconds: Int) -> Bool { machine.step { state, _ in state.expectOverdue(at: .at(seconds)) } }
        func look(_ seconds: Int) -> AnyClock.Instant? {
            machine.step { state, effects in
                state.unblockOverdue(at: .at(seconds), now: .at(seconds), &effects)
            }
        }
        _ = block("late", on: 0, until: 20, machine)
        #expect(expect(20), "nobody looks yet")
        _ = block("later", on: 0, until: 30, machine)
        #expect(!expect(30), "the look at 20 goes on to 30")
        _ = block("soon", on: 0, until: 10, machine)
        #expect(expect(10), "the look at 20 comes too late")
        #expect(look(10) == .at(20))
        #expect(machine.state.blockedPublishes.count == 2)
        #expect(look(10) == nil, "it is not the next look any more")
        #expect(look(20) == .at(30))
        #expect(look(30) == nil)
        #expect(machine.state.blockedPublishes.isEmpty)
        #expect(machine.answers.count == 3)
        #expect(expect(40), "nobody looks any more")
    }

    @Test("A publish that waits for one queue and then for another is sent to both at once")
    func twoQueues() throws {
        let machine = BrokerMachine(maximumQueueLength: 1)
        let first = try machine.attach(.sample(prefetch: 1))
        let second = try machine.attach(.sample("mail", prefetch: 1))
        machine.publish("a")
        machine.publish("b")
        _ = block("c", on: 0, machine)
        machine.settle(machine.deliveries(first)[0], of: first)
        #expect(machine.state.blockedPublishes.count == 1)
        machine.settle(machine.deliveries(first)[1], of: first)
        #expect(machine.texts(first) == ["a", "b"])
        machine.settle(machine.deliveries(second)[0], of: second)
        #expect(machine.texts(first) == ["a", "b", "c"])
        machine.settle(machine.deliveries(second)[1], of: second)
        #expect(machine.texts(second) == ["a", "b", "c"])
    }

    @Test("Retries and returned deliveries are added to a full queue")
    func bypass() throws {
        let machine = BrokerMachine(maximumQueueLength: 1)
        let consumer = try machine.attach(.sample(prefetch: 2))
        for text in ["a", "b", "c"] { machine.publish(text) }
        machine.settle(machine.deliveries(consumer)[0], of: consumer, as: .requeued)
        machine.stop(consumer)
        machine.close(consumer)
        #expect(machine.state.readyCount == 3)
        #expect(machine.publish("d").outcome == nil)
    }

    @Test("A publish that waits for a broadcast queue proceeds when the queue is gone")
    func queueEnds() throws {
        let machine = BrokerMachine(maximumQueueLength: 1)
        let consumer = try machine.attach(.sample(prefetch: 1, broadcast: true))
        machine.publish("a")
        machine.publish("b")
        _ = block("c", on: 0, machine)
        machine.close(consumer)
        #expect(machine.state.blockedPublishes.isEmpty)
        #expect(machine.state.readyCount == 0)
    }
}

extension AnyClock.Instant {
    fileprivate static func at(_ seconds: Int) -> AnyClock.Instant { AnyClock.Instant(offset: .seconds(seconds)) }
}

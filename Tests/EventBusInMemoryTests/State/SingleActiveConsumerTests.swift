import EventBus
import Testing

@testable import EventBusInMemory

@Suite("Broker state: single active consumer", .timeLimit(.minutes(1)))
struct SingleActiveConsumerTests {
    private let ordered = QueueSpecification.sample(prefetch: 2, singleActiveConsumer: true)

    @Test("One consumer works, the others stand by")
    func oneWorks() throws {
        let machine = BrokerMachine()
        let first = try machine.attach(ordered)
        let second = try machine.attach(ordered)
        for text in ["a", "b", "c"] { machine.publish(text) }
        #expect(machine.texts(first) == ["a", "b"])
        #expect(machine.texts(second).isEmpty)
    }

    @Test("When the active one stops, the next takes over once everything is settled")
    func takeOver() throws {
        let machine = BrokerMachine()
        let first = try machine.attach(ordered)
        let second = try machine.attach(ordered)
        let third = try machine.attach(ordered)
        for text in ["a", "b", "c"] { machine.publish(text) }
        machine.stop(first)
        #expect(machine.texts(second).isEmpty)
        machine.settle(machine.deliveries(first)[0], of: first)
        #expect(machine.texts(second).isEmpty)
        machine.settle(machine.deliveries(first)[1], of: first)
        #expect(machine.texts(second) == ["c"])
        #expect(machine.texts(third).isEmpty)
        #expect(machine.texts(first) == ["a", "b"])
    }

    @Test("When the active one closes, the next begins with what it held")
    func takeOverOnClose() throws {
        let machine = BrokerMachine()
        let first = try machine.attach(ordered)
        let second = try machine.attach(ordered)
        for text in ["a", "b", "c"] { machine.publish(text) }
        machine.close(first)
        #expect(machine.texts(second) == ["a", "b"])
    }

    @Test("When the active one vanishes, the next in line takes over, and it stands by behind")
    func takeOverOnLoss() throws {
        let machine = BrokerMachine()
        let other = machine.addConnection()
        let first = try machine.attach(ordered)
        let second = try machine.attach(ordered, connection: other)
        machine.publish("a")
        machine.loseConnection()
        #expect(machine.texts(second) == ["a"])
        machine.close(second)
        #expect(machine.texts(first) == ["a", "a"])
        #expect(machine.deliveries(first)[1].redeliveries == 1)
    }

    @Test("A standby consumer that stops is passed over")
    func standbyStops() throws {
        let machine = BrokerMachine()
        let first = try machine.attach(ordered)
        let second = try machine.attach(ordered)
        let third = try machine.attach(ordered)
        machine.stop(second)
        machine.publish("a")
        machine.close(first)
        #expect(machine.texts(second).isEmpty)
        #expect(machine.texts(third) == ["a"])
    }
}

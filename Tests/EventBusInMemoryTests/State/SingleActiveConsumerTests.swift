import EventBus
import Testing

@testable import EventBusInMemory

@Suite("Broker state: single active consumer", .timeLimit(.minutes(1)))
struct SingleActiveConsumerTests {
    private let ordered = QueueSpecification.sample(prefetch: 2, singleActiveConsumer: true)

    @Test("One consumer is active, and the others stand by")
    func oneWorks() throws {
        let machine = BrokerMachine()
        let first = try machine.attach(ordered)
        let second = try machine.attach(ordered)
        for text in ["a", "b", "c"] { machine.publish(text) }
        #expect(machine.texts(first) == ["a", "b"])
        #expect(machine.texts(second).isEmpty)
    }

    @Test("When the active consumer stops, the next one takes over immediately and gets the returned deliveries")
    func takeOver() throws {
        let machine = BrokerMachine()
        let first = try machine.attach(ordered)
        let second = try machine.attach(ordered)
        let third = try machine.attach(ordered)
        for text in ["a", "b", "c"] { machine.publish(text) }
        machine.stop(first)
        #expect(machine.texts(second) == ["c"])
        machine.settle(machine.deliveries(first)[0], of: first)
        machine.close(first)
        #expect(machine.texts(second) == ["c", "b"])
        #expect(machine.texts(third).isEmpty)
        #expect(machine.texts(first) == ["a", "b"])
    }

    @Test("Deliveries of a stopped consumer go to the next one when its connection is lost")
    func lossAfterStop() throws {
        let machine = BrokerMachine()
        let other = machine.addConnection()
        let first = try machine.attach(ordered)
        let second = try machine.attach(ordered, connection: other)
        machine.publish("a")
        machine.stop(first)
        machine.loseConnection()
        #expect(machine.texts(second) == ["a"])
    }

    @Test("A reopened consumer returns everything in order, to the next consumer or to itself")
    func reopening() throws {
        let machine = BrokerMachine()
        let only = try machine.attach(ordered)
        for text in ["a", "b", "c"] { machine.publish(text) }
        let former = machine.deliveries(only)
        machine.reopen(only)
        #expect(machine.texts(only) == ["a", "b", "a", "b"])
        #expect(machine.deliveries(only)[2].token.generation > former[0].token.generation)
        #expect(machine.deliveries(only)[2].redeliveries == 0)
        #expect(!machine.settle(former[0], of: only))
        let standby = try machine.attach(ordered)
        machine.reopen(only)
        #expect(machine.texts(standby) == ["a", "b"])
    }

    @Test("A reopened consumer does not affect other consumers of its connection")
    func reopeningBesideOthers() throws {
        let machine = BrokerMachine()
        let only = try machine.attach(ordered)
        let other = try machine.attach(.sample(name: "others"))
        machine.publish("a")
        machine.reopen(only)
        #expect(machine.settle(machine.deliveries(other)[0], of: other))
    }

    @Test("When the active consumer closes, the next one starts with its unsettled deliveries")
    func takeOverOnClose() throws {
        let machine = BrokerMachine()
        let first = try machine.attach(ordered)
        let second = try machine.attach(ordered)
        for text in ["a", "b", "c"] { machine.publish(text) }
        machine.close(first)
        #expect(machine.texts(second) == ["a", "b"])
    }

    @Test("When the active consumer vanishes, the next one takes over, and it stands by as the last one")
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

    @Test("A stopping standby consumer is skipped")
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

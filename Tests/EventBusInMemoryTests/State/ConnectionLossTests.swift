import EventBus
import Testing

@testable import EventBusInMemory

@Suite("Broker state: lost connections", .timeLimit(.minutes(1)))
struct ConnectionLossTests {
    @Test("Deliveries of a vanished consumer precede the rest in order, with one more redelivery")
    func redelivery() throws {
        let machine = BrokerMachine()
        let consumer = try machine.attach(.sample(prefetch: 2))
        for text in ["a", "b", "c"] { machine.publish(text) }
        let stale = machine.deliveries(consumer)
        machine.loseConnection()
        #expect(machine.texts(consumer) == ["a", "b", "a", "b"])
        let again = machine.deliveries(consumer).suffix(2)
        #expect(again.map(\.redeliveries) == [1, 1])
        #expect(again.map(\.attempt) == [1, 1])
        #expect(again.allSatisfy { $0.token.generation > stale[0].token.generation })
        #expect(!machine.settle(stale[0], of: consumer))
        #expect(machine.state.unsettledCount == 2)
    }

    @Test("The connections of other transports are not affected")
    func otherConnections() throws {
        let machine = BrokerMachine()
        let other = machine.addConnection()
        let mine = try machine.attach(.sample(prefetch: 1))
        let theirs = try machine.attach(.sample(prefetch: 2), connection: other)
        machine.publish("a")
        machine.publish("b")
        machine.loseConnection()
        #expect(machine.texts(mine) == ["a"])
        #expect(machine.texts(theirs) == ["b", "a"])
        let delivery = machine.deliveries(theirs)[0]
        let isSettled = machine.settle(delivery, of: theirs)
        #expect(isSettled)
    }

    @Test("A delivery whose consumers vanish too often becomes a dead letter")
    func deliveryLimit() throws {
        let machine = BrokerMachine(deliveryLimit: 3)
        let consumer = try machine.attach(.sample())
        machine.publish("a")
        for _ in 0..<3 { machine.loseConnection() }
        #expect(machine.deliveries(consumer).map(\.redeliveries) == [0, 1, 2, 3])
        #expect(machine.deadLetters().isEmpty)
        machine.loseConnection()
        #expect(machine.deliveries(consumer).count == 4)
        let dead = try #require(machine.deadLetters().first)
        #expect(dead.failure.reason == .deliveryLimit)
        #expect(dead.attempts == 0)
        #expect(dead.firstFailure == nil)
        #expect(machine.state.unsettledCount == 0)
    }

    @Test("A retry keeps its attempt when its consumer vanishes")
    func attemptSurvives() throws {
        let machine = BrokerMachine()
        let consumer = try machine.attach(.sample())
        machine.publish("a")
        machine.settle(machine.deliveries(consumer)[0], of: consumer, as: .retried(after: .zero, .sample))
        machine.loseConnection()
        #expect(machine.deliveries(consumer).map(\.attempt) == [1, 2, 2])
    }

    @Test("A transport that ends returns everything, and its consumers are gone")
    func disconnect() throws {
        let machine = BrokerMachine()
        let consumer = try machine.attach(.sample(prefetch: 2))
        let standby = try machine.attach(.sample("mail", singleActiveConsumer: true))
        for text in ["a", "b", "c"] { machine.publish(text) }
        let held = machine.deliveries(consumer)[0]
        let connection = machine.connection
        machine.step { state, effects in state.disconnect(connection, &effects) }
        #expect(!machine.settle(held, of: consumer))
        #expect(machine.state.unsettledCount == 0)
        #expect(machine.state.readyCount == 6)
        #expect(machine.state.snapshots().map(\.consumers) == [0, 0])
        #expect(standby.slot != consumer.slot)
    }
}

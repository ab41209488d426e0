import EventBus
import Testing

@testable import EventBusInMemory

@Suite("Broker state: delays and dead letters", .timeLimit(.minutes(1)))
struct DelayTests {
    @Test("A retry arrives when it is due, counts as the next attempt, and follows ready events")
    func retry() throws {
        let machine = BrokerMachine()
        let consumer = try machine.attach(.sample(prefetch: 1))
        machine.publish("a")
        machine.publish("b")
        machine.publish("c")
        machine.settle(
            machine.deliveries(consumer)[0],
            of: consumer,
            as: .retried(after: .seconds(5), .sample),
            retryDue: .seconds(5)
        )
        machine.fireTimers(by: .seconds(4))
        #expect(machine.texts(consumer) == ["a", "b"])
        machine.fireTimers(by: .seconds(5))
        machine.fireTimers(by: .seconds(5))
        machine.settle(machine.deliveries(consumer)[1], of: consumer)
        machine.settle(machine.deliveries(consumer)[2], of: consumer)
        #expect(machine.texts(consumer) == ["a", "b", "c", "a"])
        #expect(machine.deliveries(consumer)[3].attempt == 2)
    }

    @Test("A scheduled event is routed when it is due, by the bindings of that time")
    func scheduled() throws {
        let machine = BrokerMachine()
        machine.step { state, effects in
            state.schedule(.sample("a"), due: AnyClock.Instant(offset: .seconds(3)), &effects)
        }
        let consumer = try machine.attach(.sample())
        machine.fireTimers(by: .seconds(2))
        #expect(machine.texts(consumer).isEmpty)
        machine.fireTimers(by: .seconds(3))
        #expect(machine.texts(consumer) == ["a"])
    }

    @Test("Work that is due at the same time is done in the order of insertion")
    func orderOfTimers() throws {
        let machine = BrokerMachine()
        let consumer = try machine.attach(.sample(prefetch: 100))
        for (text, due) in [("c", 3), ("a", 1), ("d", 3), ("b", 2)] {
            machine.step { state, effects in
                state.schedule(.sample(text), due: AnyClock.Instant(offset: .seconds(due)), &effects)
            }
        }
        machine.fireTimers(by: .seconds(10))
        #expect(machine.texts(consumer) == ["a", "b", "c", "d"])
    }

    @Test("A dead letter has the failure, the attempts, and the times of the first and the last failure")
    func deadLetter() throws {
        let machine = BrokerMachine()
        let consumer = try machine.attach(.sample())
        machine.publish("a")
        let first = machine.deliveries(consumer)[0]
        machine.step { state, effects in
            _ = state.settle(
                first.token,
                of: consumer,
                as: .retried(after: .zero, .sample),
                eventID: first.envelope.id,
                retryDue: nil,
                time: EventTime(milliseconds: 5),
                &effects
            )
        }
        machine.loseConnection()
        let second = machine.deliveries(consumer)[2]
        let failure = Failure(reason: .attemptsExhausted, errorType: "Oops", message: "again")
        machine.settle(second, of: consumer, as: .deadLettered(failure))
        let dead = try #require(machine.deadLetters().first)
        #expect(dead.envelope == first.envelope)
        #expect(dead.queue == "stock.orders")
        #expect(dead.failure == failure)
        #expect(dead.attempts == 2)
        #expect(dead.firstFailure == EventTime(milliseconds: 5))
        #expect(dead.lastFailure == EventTime(milliseconds: 1000))
        #expect(machine.state.unsettledCount == 0)
    }

    @Test("A timer that is due before all others wakes the timer loops, and a later one does not")
    func rearming() {
        let machine = BrokerMachine()
        machine.state.timerLoops[1] = OneShot()
        machine.step { state, effects in
            state.schedule(.sample("a"), due: AnyClock.Instant(offset: .seconds(3)), &effects)
        }
        #expect(machine.answers.count == 1)
        machine.state.timerLoops[2] = OneShot()
        machine.step { state, effects in
            state.schedule(.sample("b"), due: AnyClock.Instant(offset: .seconds(4)), &effects)
        }
        #expect(machine.answers.count == 1)
        machine.step { state, effects in
            state.schedule(.sample("c"), due: AnyClock.Instant(offset: .seconds(2)), &effects)
        }
        #expect(machine.answers.count == 2)
    }
}

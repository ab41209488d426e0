import Testing

@testable import EventBus

extension CoordinationTests {
    @Suite("Waits between computations")
    struct FlightStateMachineTests {
        var machine = FlightStateMachine()

        private mutating func board(_ keys: [String], type: Any.Type = Int.self, tags: Set<String> = [])
            -> (tickets: [FlightStateMachine.Ticket], started: (id: FlightStateMachine.FlightID, keys: [String])?)
        {
            machine.board(keys, type: ObjectIdentifier(type), tags: tags)
        }

        @Test("The second caller joins, and keys that nobody computes yet are started as one flight")
        mutating func join() throws {
            let first = board(["a", "b"])
            #expect(first.started?.keys == ["a", "b"])
            let second = board(["b", "c", "d"])
            #expect(second.started?.keys == ["c", "d"])
            #expect(Set(second.tickets.map(\.keys)) == [["b"], ["c", "d"]])
            #expect(board(["a", "d"]).started == nil)
        }

        @Test("A flight ends once and returns all waiting callers")
        mutating func land() throws {
            let first = board(["a"])
            let second = board(["a"])
            let id = try #require(first.started?.id)
            #expect(machine.isCurrent(id, for: "a"))
            #expect(machine.land(id) == Set((first.tickets + second.tickets).map(\.waiter)))
            #expect(machine.land(id) == nil)
            #expect(!machine.isAloft(id))
            #expect(board(["a"]).started != nil)
        }

        @Test("A flight is cancelled when its last caller has left, and a background flight never is")
        mutating func leave() throws {
            let first = board(["a"])
            let second = board(["a"])
            #expect(machine.leave(first.tickets[0]) == false)
            #expect(machine.leave(first.tickets[0]) == false)
            #expect(machine.leave(second.tickets[0]) == true)
            #expect(board(["a"]).started != nil)

            let started = machine.start(["b"], type: ObjectIdentifier(Int.self), tags: [], isBackground: true)
            let joined = board(["b"])
            #expect(joined.started == nil)
            #expect(machine.leave(joined.tickets[0]) == false)
            #expect(machine.isAloft(try #require(started?.id)))
        }

        @Test("An invalidated flight continues, but nobody joins it and it may not store")
        mutating func void() throws {
            let first = board(["a", "b"], tags: ["x"])
            let id = try #require(first.started?.id)
            machine.void(["a"])
            #expect(machine.isAloft(id))
            #expect(!machine.isCurrent(id, for: "a"))
            #expect(machine.isCurrent(id, for: "b"))
            let second = board(["a"])
            #expect(second.started?.keys == ["a"])
            machine.void(tag: "x")
            #expect(!machine.isCurrent(id, for: "b"))
            #expect(machine.isCurrent(try #require(second.started?.id), for: "a"))
            _ = machine.land(id)
            #expect(machine.isCurrent(try #require(second.started?.id), for: "a"))
        }

        @Test("A computation is joined while its claim exists, and by callers that came before it began")
        mutating func claims() throws {
            let (before, start, after) = (
                AnyClock.Instant(offset: .zero), AnyClock.Instant(offset: .seconds(1)),
                AnyClock.Instant(offset: .seconds(2))
            )
            let id = try #require(board(["a", "b"]).started?.id)
            machine.void("a", unlessUnder: nil, since: after, includesUnclaimed: true)
            #expect(machine.isCurrent(id, for: "a"), "it has not begun")
            machine.note("mine", of: "a", for: id, at: start)
            machine.note(nil, of: "b", for: id, at: start)
            machine.void("a", unlessUnder: "other", since: before, includesUnclaimed: true)
            machine.void("a", unlessUnder: "mine", since: after, includesUnclaimed: true)
            machine.void("b", unlessUnder: "other", since: after, includesUnclaimed: false)
            #expect(machine.isCurrent(id, for: "a"))
            #expect(machine.isCurrent(id, for: "b"))
            machine.void("a", unlessUnder: "other", since: after, includesUnclaimed: false)
            machine.void("b", unlessUnder: nil, since: after, includesUnclaimed: true)
            #expect(!machine.isCurrent(id, for: "a"))
            #expect(!machine.isCurrent(id, for: "b"))
        }

        @Test("A computation of another type is not joined, and the later one may store")
        mutating func types() throws {
            let first = board(["a"])
            let second = board(["a"], type: String.self)
            #expect(second.started?.keys == ["a"])
            #expect(!machine.isCurrent(try #require(first.started?.id), for: "a"))
            #expect(machine.isCurrent(try #require(second.started?.id), for: "a"))
        }
    }
}

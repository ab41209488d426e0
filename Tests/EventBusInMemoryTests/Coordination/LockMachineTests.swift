import EventBus
import Testing

@testable import EventBusInMemory

extension CoordinationTests {
    @Suite("The lock's state machine")
    struct LockMachineTests {
        var machine = LockMachine(firstToken: 0)

        private func at(_ seconds: Int) -> AnyClock.Instant { .init(offset: .seconds(seconds)) }

        private mutating func acquire(_ resource: String = "sku", ttl: Int = 10, at now: Int = 0) throws -> LockGrant {
            let (acquisition, _) = machine.acquire(resource, ttl: .seconds(ttl), wait: .zero, now: at(now))
            guard case .granted(let grant) = acquisition else { throw Refused() }
            return grant
        }

        private mutating func enqueue(ttl: Int = 10, wait: Int = 100, at now: Int = 0) throws -> LockMachine.WaiterID {
            let (acquisition, _) = machine.acquire("sku", ttl: .seconds(ttl), wait: .seconds(wait), now: at(now))
            guard case .queued(let id) = acquisition else { throw Refused() }
            return id
        }

        private mutating func claim(_ id: LockMachine.WaiterID, at now: Int) throws -> LockGrant {
            guard case .granted(let grant) = machine.poll(id, for: "sku", now: at(now)).0 else { throw Refused() }
            return grant
        }

        private mutating func nextLook(_ id: LockMachine.WaiterID, at now: Int) throws -> AnyClock.Instant {
            guard case .wait(let until) = machine.poll(id, for: "sku", now: at(now)).0 else { throw Refused() }
            return until
        }

        struct Refused: Error {}

        @Test("A release wakes the first waiter, whose lease starts when it takes the resource")
        mutating func release() throws {
            let grant = try acquire()
            let first = try enqueue(ttl: 10)
            let second = try enqueue()
            #expect(try machine.release(grant, now: at(1)) == [first])
            #expect(throws: Refused.self) { try claim(second, at: 2) }
            let next = try claim(first, at: 50)
            #expect(next.validUntil == at(60))
            #expect(next.fencingToken > grant.fencingToken)
        }

        @Test("The first waiter checks again when the current grant ends, and the others at their deadlines")
        mutating func watch() throws {
            _ = try acquire(ttl: 10)
            let first = try enqueue(wait: 100)
            let second = try enqueue(wait: 50)
            #expect(try nextLook(first, at: 1) == at(10))
            #expect(try nextLook(second, at: 1) == at(50))
        }

        @Test("The new first waiter is woken, because it has to watch a grant that may end earlier")
        mutating func watchPassesOn() throws {
            let grant = try acquire(ttl: 90)
            let first = try enqueue(ttl: 5)
            let second = try enqueue()
            #expect(try machine.release(grant, now: at(1)) == [first])
            #expect(machine.poll(first, for: "sku", now: at(1)).wake == [second])
            #expect(try nextLook(second, at: 1) == at(6))
            #expect(try claim(second, at: 6).fencingToken > grant.fencingToken)
        }

        @Test("A waiter that leaves the front of the queue wakes the next one", arguments: [true, false])
        mutating func leaveHead(isCancelled: Bool) throws {
            _ = try acquire()
            let first = try enqueue(wait: 5)
            let second = try enqueue()
            if isCancelled {
                #expect(machine.cancel(first, for: "sku", now: at(1)) == [second])
            } else {
                let (poll, wake) = machine.poll(first, for: "sku", now: at(5))
                guard case .timedOut = poll else { throw Refused() }
                #expect(wake == [second])
            }
        }

        @Test("A waiter that is cancelled after it was handed the resource passes it on")
        mutating func cancelHandedOver() throws {
            let grant = try acquire()
            let first = try enqueue()
            let second = try enqueue()
            _ = try machine.release(grant, now: at(1))
            #expect(machine.cancel(first, for: "sku", now: at(1)) == [second])
            _ = try claim(second, at: 1)
        }

        @Test("Cancelling the last waiter leaves nothing behind")
        mutating func cancelLast() throws {
            let grant = try acquire()
            let waiter = try enqueue()
            _ = try machine.release(grant, now: at(1))
            #expect(machine.cancel(waiter, for: "sku", now: at(1)).isEmpty)
            #expect(machine.count == 0)
            _ = try acquire(at: 1)
        }

        @Test("A new caller does not overtake the waiters when the grant has ended")
        mutating func newcomer() throws {
            _ = try acquire(ttl: 10)
            let waiter = try enqueue()
            #expect(throws: Refused.self) { try acquire(at: 11) }
            _ = try claim(waiter, at: 11)
        }

        @Test("A grant that has ended can be neither renewed nor released, whether or not there is another one")
        mutating func ended() throws {
            let grant = try acquire(ttl: 10)
            #expect(try machine.renew(grant, now: at(9)) == at(19))
            expectCode(.leaseExpired) { _ = try machine.renew(grant, now: at(19)) }
            expectCode(.leaseExpired) { _ = try machine.release(grant, now: at(19)) }
            let next = try acquire(at: 19)
            expectCode(.lockNotOwned) { _ = try machine.renew(grant, now: at(20)) }
            expectCode(.lockNotOwned) { _ = try machine.release(grant, now: at(20)) }
            #expect(try machine.release(next, now: at(20)).isEmpty)
            #expect(machine.count == 0)
        }

        @Test("Expired grants that nobody asks for do not accumulate")
        mutating func sweep() throws {
            for number in 0..<10_000 { _ = try acquire("sku-\(number)", ttl: 1, at: number) }
            #expect(machine.count <= 64)
        }

        private func expectCode(_ code: EventBusError.Code, _ body: () throws -> Void) {
            let error = #expect(throws: EventBusError.self) { try body() }
            #expect(error?.code == code)
        }
    }
}

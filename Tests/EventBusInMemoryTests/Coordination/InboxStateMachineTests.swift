import EventBus
import Testing

@testable import EventBusInMemory

extension CoordinationTests {
    @Suite("The inbox's state machine")
    struct InboxStateMachineTests {
        var machine = InboxStateMachine()

        private func at(_ seconds: Int) -> AnyClock.Instant { .init(offset: .seconds(seconds)) }

        private mutating func begin(_ id: EventID = "e", lease: Int = 10, at now: Int) -> InboxDecision {
            let key = InboxKey(topic: "order.created", eventID: id, subscription: "g.s")
            return machine.begin(key, lease: .seconds(lease), now: at(now))
        }

        private mutating func claim(_ id: EventID = "e", lease: Int = 10, at now: Int) throws -> InboxClaim {
            guard case .new(let claim) = begin(id, lease: lease, at: now) else { throw NotNew() }
            return claim
        }

        struct NotNew: Error {}

        @Test("A second begin returns the remaining time of the first claim")
        mutating func inProgress() throws {
            _ = try claim(lease: 10, at: 0)
            #expect(begin(at: 3) == .inProgress(retryAfter: .seconds(7)))
        }

        @Test("A claim is active until its lease ends, and can then be taken over")
        mutating func takeOver() throws {
            let first = try claim(lease: 10, at: 0)
            #expect(begin(at: 9) == .inProgress(retryAfter: .seconds(1)))
            let second = try claim(at: 10)
            #expect(second.fence > first.fence)
        }

        @Test("A late completion is refused once another claim is active, and after that one has completed")
        mutating func lateCompletion() throws {
            let late = try claim(lease: 10, at: 0)
            let claim = try claim(at: 10)
            #expect(
                code { machine, now in try machine.complete(late, retention: .seconds(100), now: now) } == .leaseExpired
            )
            try machine.complete(claim, retention: .seconds(100), now: at(11))
            #expect(
                code { machine, now in try machine.complete(late, retention: .seconds(100), now: now) } == .leaseExpired
            )
            #expect(begin(at: 12) == .completed)
        }

        @Test("A late completion counts if no other claim is active")
        mutating func lateButAlone() throws {
            let claim = try claim(lease: 10, at: 0)
            try machine.complete(claim, retention: .seconds(100), now: at(50))
            #expect(begin(at: 149) == .completed)
            _ = try self.claim(at: 150)
        }

        @Test("Abandoning ends the active claim, and no other")
        mutating func abandon() throws {
            let late = try claim(lease: 10, at: 0)
            let claim = try claim(at: 10)
            machine.abandon(late, now: at(11))
            #expect(begin(at: 11) == .inProgress(retryAfter: .seconds(9)))
            machine.abandon(claim, now: at(12))
            _ = try self.claim(at: 12)
        }

        @Test("A renewed claim ends one lease after the renewal, and an expired one cannot be renewed")
        mutating func renewal() throws {
            let claim = try claim(lease: 10, at: 0)
            try machine.renew(claim, lease: .seconds(10), now: at(9))
            #expect(begin(at: 18) == .inProgress(retryAfter: .seconds(1)))
            #expect(
                code { machine, _ in
                    try machine.renew(claim, lease: .seconds(10), now: .init(offset: .seconds(19)))
                } == .leaseExpired
            )
            _ = try self.claim(at: 19)
        }

        @Test("Expired claims and completions are removed and do not accumulate")
        mutating func bounded() throws {
            for number in 0..<10_000 {
                let claim = try claim(EventID("e\(number)"), lease: 10, at: number)
                switch number % 3 {
                case 0: try machine.complete(claim, retention: .seconds(20), now: at(number))
                case 1: machine.abandon(claim, now: at(number))
                default: break
                }
            }
            #expect(machine.count < 40)
        }

        @Test("A completion is kept for its retention, even past the end of the claim")
        mutating func retention() throws {
            let claim = try claim(lease: 10, at: 0)
            try machine.complete(claim, retention: .seconds(100), now: at(1))
            #expect(begin(at: 100) == .completed)
            _ = try self.claim(at: 101)
        }

        private mutating func code(
            _ body: (inout InboxStateMachine, AnyClock.Instant) throws -> Void
        ) -> EventBusError.Code? {
            do {
                try body(&machine, at(11))
                return nil
            } catch {
                return (error as? EventBusError)?.code
            }
        }
    }
}

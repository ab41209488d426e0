import EventBus
import EventBusInMemory
import EventBusTesting
import Testing

extension CoordinationTests {
    @Suite("Leading a role")
    struct LeadTests {
        struct BodyFailed: Error {}

        let clock = ManualClock()

        @Test("A leader whose lease is lost leads again when its body has ended, whether it returned or threw")
        func leadsAgain() async throws {
            let lock = ScriptedLock(clock: clock, onRenew: { _ in throw EventBusError(.lockNotOwned, "taken") })
            let terms = EventLog<UInt64>()
            let leading = Task {
                try await lock.lead("scheduler", ttl: .seconds(9)) { lease in
                    let term = terms.note(lease.fencingToken)
                    guard term < 4 else { return "led" }
                    try? await Signal().wait()
                    switch term {
                    case 1: return "a result of a former leader"
                    case 2: try lease.check()
                    default: try Task.checkCancellation()
                    }
                    Issue.record("term \(term) was not lost")
                    return ""
                }
            }
            for term in 1...3 {
                try await eventually("term \(term)") { terms.count == term }
                try await clock.sleepers(atLeast: 2)
                clock.advance(by: .seconds(3))
            }
            #expect(try await leading.value == "led")
            #expect(terms.count == 4)
        }

        @Test("An error of a leader's body is thrown unchanged, also if the leadership was lost meanwhile")
        func bodyErrors() async throws {
            let lock = ScriptedLock(clock: clock, onRenew: { _ in throw EventBusError(.lockNotOwned, "taken") })
            let leads = Gate()
            let leading = Task {
                try await lock.lead("scheduler", ttl: .seconds(9)) { _ in
                    leads.open()
                    try? await Signal().wait()
                    throw BodyFailed()
                }
            }
            await leads.pass()
            try await clock.sleepers(atLeast: 2)
            clock.advance(by: .seconds(3))
            await #expect(throws: BodyFailed.self) { try await leading.value }
            // The error of a lease that the body itself has used is not one of the leadership.
            await expectCode(.leaseExpired) {
                try await lock.lead("scheduler", ttl: .seconds(9)) { _ in
                    throw EventBusError(.leaseExpired, "of another lock")
                }
            }
        }

        @Test("A candidate keeps asking while the store is unreachable, and gives up when the store refuses it")
        func outages() async throws {
            let lock = UnreachableLock(
                clock: clock,
                errors: [.unavailable, .indeterminate, .timedOut, .unavailable, .authenticationFailed]
            )
            let leading = Task { try await lock.lead("scheduler") { _ in } }
            let ticking = Task {
                while !Task.isCancelled {
                    try await clock.sleepers(atLeast: 1)
                    clock.advance(by: .seconds(5))
                }
            }
            await expectCode(.authenticationFailed) { try await leading.value }
            ticking.cancel()
            #expect(lock.asked == 5)
        }

        @Test("A candidate whose leases have ended when they arrive pauses, also when its wait is over")
        func lateGrants() async throws {
            let lock = ScriptedLock(clock: clock, grantsLate: true)
            let leading = Task { try await lock.lead("scheduler") { _ in } }
            for _ in 0..<3 {
                try await clock.sleepers(atLeast: 1)
                clock.advance(by: .seconds(3600))
            }
            try await clock.sleepers(atLeast: 1)
            #expect(lock.count(of: .acquire("scheduler")) == 4)
            leading.cancel()
            await #expect(throws: CancellationError.self) { try await leading.value }
        }

        @Test("Leading a role inside itself is an error, not a wait")
        func reentrancy() async throws {
            let lock = InMemoryLock(clock: clock)
            await expectCode(.reentrant) {
                try await lock.lead("scheduler") { _ in try await lock.lead("scheduler") { _ in } }
            }
            #expect(lock.count == 0)
        }
    }
}

/// A lock that fails with each of its errors in turn.
private final class UnreachableLock: DistributedLock {
    let clock: AnyClock
    private let errors: [EventBusError.Code]
    private let calls = EventLog<Void>()

    init(clock: some Clock<Duration>, errors: [EventBusError.Code]) {
        self.clock = AnyClock(clock)
        self.errors = errors
    }

    var asked: Int { calls.count }

    func acquire(_ resource: String, ttl: Duration, wait: Duration) async throws -> LockGrant {
        throw EventBusError(errors[calls.note(()) - 1], "as the test says")
    }

    func renew(_ grant: LockGrant) async throws -> AnyClock.Instant { grant.validUntil }
    func release(_ grant: LockGrant) async throws {}
}

import EventBus
import EventBusInMemory
import EventBusTesting
import Testing

extension CoordinationTests {
    @Suite("Holding a lock while a body runs")
    struct WithLockTests {
        struct BodyFailed: Error {}

        let clock = ManualClock()

        @Test("The lease is renewed at a third of its time to live, for as long as the body runs")
        func renewal() async throws {
            let lock = InMemoryLock(clock: clock)
            let done = Gate()
            let entered = Gate()
            let holding = Task {
                try await lock.withLock("sku", ttl: .seconds(9)) { lease in
                    entered.open()
                    await done.pass()
                    try lease.check()
                }
            }
            await entered.pass()
            for _ in 0..<20 {
                // The renewal and the watch for the end.
                try await clock.sleepers(atLeast: 2)
                clock.advance(by: .seconds(3))
            }
            try await clock.sleepers(atLeast: 2)
            #expect(try await lock.tryLock("sku")?.fencingToken == nil)
            done.open()
            try await holding.value
            #expect(lock.count == 0)
            #expect(clock.sleeperCount == 0)
        }

        @Test("A lost lease cancels the body and is reported")
        func lossCancelsBody() async throws {
            let lock = ScriptedLock(clock: clock, onRenew: { _ in throw EventBusError(.lockNotOwned, "taken") })
            let entered = Gate()
            let holding = Task {
                try await lock.withLock("sku", ttl: .seconds(9)) { lease in
                    entered.open()
                    do {
                        try await Signal().wait()
                    } catch {
                        await expectCode(.lockLost) { try lease.check() }
                        throw error
                    }
                }
            }
            await entered.pass()
            try await clock.sleepers(atLeast: 2)
            clock.advance(by: .seconds(3))
            await expectCode(.lockLost) { try await holding.value }
            #expect(lock.count(of: .release(isCancelled: false)) == 1)
        }

        @Test("While renewals fail, the body continues until the lease ends")
        func failingRenewals() async throws {
            let lock = ScriptedLock(clock: clock, onRenew: { _ in throw EventBusError(.unavailable, "away") })
            let entered = Gate()
            let holding = Task {
                try await lock.withLock("sku", ttl: .seconds(9)) { _ in
                    entered.open()
                    try await Signal().wait()
                }
            }
            await entered.pass()
            try await clock.sleepers(atLeast: 2)
            clock.advance(by: .seconds(3))
            for number in 1...6 {
                try await eventually("renewal \(number)") { lock.count(of: .renew) == number }
                try await clock.sleepers(atLeast: 2)
                clock.advance(by: .milliseconds(900))
            }
            try await clock.sleepers(atLeast: 2)
            #expect(lock.count(of: .release(isCancelled: false)) == 0)
            clock.advance(by: .milliseconds(600))
            await expectCode(.leaseExpired) { try await holding.value }
        }

        @Test("A renewal without an answer does not keep the body running past the lease")
        func hangingRenewal() async throws {
            let lock = ScriptedLock(
                clock: clock,
                onRenew: { _ in
                    try await Signal().wait()
                    throw BodyFailed()
                }
            )
            let entered = Gate()
            let holding = Task {
                try await lock.withLock("sku", ttl: .seconds(9)) { _ in
                    entered.open()
                    try await Signal().wait()
                }
            }
            await entered.pass()
            try await clock.sleepers(atLeast: 2)
            clock.advance(by: .seconds(3))
            try await eventually("the renewal") { lock.count(of: .renew) == 1 }
            clock.advance(by: .seconds(6))
            await expectCode(.leaseExpired) { try await holding.value }
        }

        @Test("A body that returns after its lease has ended is reported as a failure")
        func returnAfterExpiry() async throws {
            let lock = ScriptedLock(clock: clock)
            await expectCode(.leaseExpired) {
                try await lock.withLock("sku", ttl: .seconds(9)) { [clock] lease in
                    clock.advance(by: .seconds(9))
                    await expectCode(.leaseExpired) { try lease.check() }
                }
            }
        }

        @Test("A body that returns, but whose release comes too late, is reported as a failure")
        func releaseTooLate() async throws {
            let lock = ScriptedLock(clock: clock, onRelease: { _ in throw EventBusError(.lockNotOwned, "taken") })
            await expectCode(.lockLost) { try await lock.withLock("sku") { _ in } }
        }

        @Test("A release without an answer hides neither the body's result nor its error")
        func releaseUnheard() async throws {
            let lock = ScriptedLock(clock: clock, onRelease: { _ in throw EventBusError(.unavailable, "away") })
            #expect(try await lock.withLock("sku") { _ in 42 } == 42)
            await #expect(throws: BodyFailed.self) { try await lock.withLock("sku") { _ in throw BodyFailed() } }
        }

        @Test("The body's own error is thrown unchanged, even after the lease was lost")
        func ownError() async throws {
            let lock = ScriptedLock(clock: clock, onRelease: { _ in throw EventBusError(.lockNotOwned, "taken") })
            await #expect(throws: BodyFailed.self) {
                try await lock.withLock("sku", ttl: .seconds(9)) { [clock] _ in
                    clock.advance(by: .seconds(9))
                    throw BodyFailed()
                }
            }
        }

        @Test("The release completes even if the caller is cancelled")
        func shieldedRelease() async throws {
            let lock = ScriptedLock(clock: clock)
            let entered = Gate()
            let holding = Task {
                try await lock.withLock("sku") { _ in
                    entered.open()
                    try await Signal().wait()
                }
            }
            await entered.pass()
            holding.cancel()
            await #expect(throws: CancellationError.self) { try await holding.value }
            #expect(lock.calls.entries == [.acquire("sku"), .release(isCancelled: false)])
        }

        @Test("The first of many resources is renewed while the second is waited for")
        func renewalWhileWaiting() async throws {
            let lock = InMemoryLock(clock: clock)
            let second = try await lock.acquire("b", ttl: .seconds(600), wait: .zero)
            let holding = Task {
                try await lock.withLocks(["b", "a"], ttl: .seconds(9), wait: .seconds(100)) { leases in
                    try leases.check()
                    return leases.resources
                }
            }
            for _ in 0..<10 {
                // Renewal and watch of the first lease, and the wait for the second one.
                try await clock.sleepers(atLeast: 3)
                clock.advance(by: .seconds(3))
            }
            try await clock.sleepers(atLeast: 3)
            #expect(try await lock.tryLock("a")?.fencingToken == nil)
            try await lock.release(second)
            #expect(try await holding.value == ["a", "b"])
            #expect(lock.count == 0)
        }

        @Test("The wait is for all resources together")
        func oneDeadline() async throws {
            let lock = InMemoryLock(clock: clock)
            let first = try await lock.acquire("a", ttl: .seconds(600), wait: .zero)
            _ = try await lock.acquire("b", ttl: .seconds(600), wait: .zero)
            let holding = Task {
                try await lock.withLocks(["a", "b"], ttl: .seconds(600), wait: .seconds(10)) { _ in }
            }
            try await clock.sleepers(atLeast: 1)
            clock.advance(by: .seconds(6))
            try await lock.release(first)
            try await clock.sleepers(atLeast: 3)
            clock.advance(by: .seconds(4))
            await expectCode(.lockTimedOut) { try await holding.value }
            #expect(lock.count == 1)
        }

        @Test("Holding no resources is possible")
        func noResources() async throws {
            let lock = ScriptedLock(clock: clock)
            let resources = try await lock.withLocks([]) { leases in leases.resources }
            #expect(resources.isEmpty)
            #expect(lock.calls.count == 0)
        }

        @Test("A lock whose leases have ended when they arrive is asked a few times a second, until the wait is over")
        func lateGrants() async throws {
            let lock = ScriptedLock(clock: ContinuousClock(), grantsLate: true)
            await expectCode(.leaseExpired) { try await lock.withLock("sku", wait: .milliseconds(500)) { _ in } }
            #expect((2...12).contains(lock.count(of: .acquire("sku"))), "\(lock.count(of: .acquire("sku")))")
            #expect(lock.count(of: .acquire("sku")) == lock.count(of: .release(isCancelled: false)))
        }

        @Test("A lock without a name, a time to live or a valid wait is refused")
        func invalidArguments() async throws {
            let lock = ScriptedLock(clock: clock)
            await expectCode(.invalidName) { try await lock.withLock("") { _ in } }
            await expectCode(.invalidConfiguration) { try await lock.withLock("sku", ttl: .zero) { _ in } }
            await expectCode(.invalidConfiguration) { try await lock.withLock("sku", wait: .seconds(-1)) { _ in } }
            await expectCode(.invalidName) { try await lock.withLocks(["sku", ""]) { _ in } }
            await expectCode(.invalidConfiguration) { _ = try await lock.tryLock("sku", ttl: .zero) }
            #expect(lock.calls.count == 0)
        }
    }
}

/// Records an issue unless `body` throws an error with this code.
func expectCode(
    _ code: EventBusError.Code,
    sourceLocation: SourceLocation = #_sourceLocation,
    _ body: () async throws -> Void
) async {
    let error = await #expect(throws: EventBusError.self, sourceLocation: sourceLocation) { try await body() }
    #expect(error?.code == code, sourceLocation: sourceLocation)
}

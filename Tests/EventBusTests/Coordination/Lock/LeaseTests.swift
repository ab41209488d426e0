import EventBus
import EventBusTesting
import Testing

extension CoordinationTests {
    @Suite("Leases")
    struct LeaseTests {
        let clock = ManualClock()

        @Test("A dropped lease releases the resource once")
        func drop() async throws {
            let lock = ScriptedLock(clock: clock)
            func drop() async throws {
                try await lock.tryLock("sku")?.check()
            }
            try await drop()
            #expect(lock.calls.entries == [.acquire("sku"), .abandon])
        }

        @Test("A released lease is not released a second time")
        func release() async throws {
            let lock = ScriptedLock(clock: clock)
            try await lock.tryLock("sku")?.release()
            #expect(lock.calls.entries == [.acquire("sku"), .release(isCancelled: false)])
        }

        @Test("A failing release is reported")
        func failingRelease() async throws {
            let lock = ScriptedLock(clock: clock, onRelease: { _ in throw EventBusError(.unavailable, "away") })
            await expectCode(.unavailable) { try await lock.tryLock("sku")?.release() }
            #expect(lock.calls.entries == [.acquire("sku"), .release(isCancelled: false)])
        }

        @Test("A lease is valid until its end, and longer if it is renewed")
        func expiry() async throws {
            let clock = clock
            let lock = ScriptedLock(clock: clock, onRenew: { $0.validUntil.advanced(by: .seconds(5)) })
            guard let lease = try await lock.tryLock("sku", ttl: .seconds(10)) else {
                Issue.record("a free resource was refused")
                return
            }
            clock.advance(by: .seconds(9))
            try lease.check()
            try await lease.renew()
            clock.advance(by: .seconds(5))
            try lease.check()
            clock.advance(by: .seconds(1))
            await expectCode(.leaseExpired) { try lease.check() }
        }

        @Test("A lease whose renewal was refused stays lost")
        func lost() async throws {
            let lock = ScriptedLock(clock: clock, onRenew: { _ in throw EventBusError(.lockNotOwned, "taken") })
            guard let lease = try await lock.tryLock("sku", ttl: .seconds(10)) else {
                Issue.record("a free resource was refused")
                return
            }
            await expectCode(.lockLost) { try await lease.renew() }
            await expectCode(.lockLost) { try lease.check() }
        }
    }
}

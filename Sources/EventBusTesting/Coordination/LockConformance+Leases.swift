import EventBus

extension LockConformance {
    var leases: [ConformanceCheck] {
        [
            check("a lease that is not renewed ends, and the next waiter gets the resource") { setup in
                let first = try await setup.one.acquire(setup.resource, ttl: setup.ttl, wait: .zero)
                let second = try await setup.other.acquire(setup.resource, ttl: setup.long, wait: .seconds(10))
                try expect(
                    setup.one.clock.now >= first.validUntil,
                    "the second grant was made while the first was valid"
                )
                try await setup.other.release(second)
            },
            check("a lease that has ended can be neither renewed nor released") { setup in
                let grant = try await setup.one.acquire(setup.resource, ttl: setup.ttl, wait: .zero)
                try await setup.expectFree(setup.resource, "after its time to live")
                try await expectError(.leaseExpired, .lockNotOwned, from: "renew") {
                    _ = try await setup.one.renew(grant)
                }
                try await expectError(.leaseExpired, .lockNotOwned, from: "release") {
                    try await setup.one.release(grant)
                }
            },
            check("a late release or renewal does not affect the next holder's lease") { setup in
                let late = try await setup.one.acquire(setup.resource, ttl: setup.ttl, wait: .zero)
                let grant = try await setup.other.acquire(setup.resource, ttl: setup.long, wait: .seconds(10))
                try await expectError(.lockNotOwned, from: "release") { try await setup.one.release(late) }
                try await expectError(.lockNotOwned, from: "renew") { _ = try await setup.one.renew(late) }
                setup.one.abandon(late)
                try await setup.expectHeld(setup.resource, "by the second")
                try await setup.other.release(grant)
            },
            check("a renewed lease outlives its time to live") { setup in
                try await setup.patiently { ttl in
                    let grant = try await setup.one.acquire(setup.resource, ttl: ttl, wait: .seconds(10))
                    let end = setup.one.clock.now.advanced(by: ttl * 3)
                    while setup.one.clock.now < end {
                        let validUntil = try await setup.one.renew(grant)
                        try expect(validUntil > grant.validUntil, "a renewal did not make the lease longer")
                        try await setup.one.clock.sleep(for: ttl / 6)
                    }
                    try await setup.one.release(grant)
                }
            },
            check("checking an ended lease throws") { setup in
                guard let lease = try await setup.one.tryLock(setup.resource, ttl: setup.ttl) else {
                    throw ConformanceFailure("a free resource was refused")
                }
                try await setup.expectFree(setup.resource, "after its time to live")
                try await expectError(.leaseExpired, .lockLost, from: "check") { try lease.check() }
                try await expectError(.leaseExpired, .lockLost, from: "renew") { try await lease.renew() }
            },
            check("the resource of a dropped lease is soon free") { setup in
                func drop() async throws {
                    guard let lease = try await setup.one.tryLock(setup.resource, ttl: setup.ttl) else {
                        throw ConformanceFailure("a free resource was refused")
                    }
                    try lease.check()
                }
                try await drop()
                try await setup.expectFree(setup.resource, "after its lease was dropped")
            },
        ]
    }
}

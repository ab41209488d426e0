import EventBus

extension LockConformance {
    private struct BodyFailed: Error {}

    var bodies: [ConformanceCheck] {
        [
            check("withLock holds the resource while its body runs, and returns the body's result") { setup in
                let token = try await setup.one.withLock(setup.resource, ttl: setup.long) { lease in
                    try expect(lease.resource == setup.resource, "the lease is of '\(lease.resource)'")
                    try lease.check()
                    try await setup.expectHeld(setup.resource, "by the body")
                    return lease.fencingToken
                }
                try expect(token > 0, "the fencing token is \(token)")
                try await setup.expectFree(setup.resource, "after the body")
            },
            check("withLock throws its body's error unchanged and releases") { setup in
                do {
                    try await setup.one.withLock(setup.resource, ttl: setup.long) { _ in throw BodyFailed() }
                    throw ConformanceFailure("withLock returned, though its body threw")
                } catch is BodyFailed {}
                try await setup.expectFree(setup.resource, "after the body threw")
            },
            check("withLock renews the lease for as long as its body runs") { setup in
                try await setup.patiently { ttl in
                    try await setup.one.withLock(setup.resource, ttl: ttl) { lease in
                        try await setup.one.clock.sleep(for: ttl * 4)
                        try lease.check()
                    }
                }
            },
            check("cancelling withLock cancels its body and releases") { setup in
                let entered = Gate()
                let task = Task {
                    try await setup.one.withLock(setup.resource, ttl: setup.long) { _ in
                        entered.open()
                        try await Task.sleep(for: .seconds(60))
                    }
                }
                await entered.pass()
                task.cancel()
                do {
                    try await task.value
                    throw ConformanceFailure("the body was not cancelled")
                } catch is CancellationError {}
                try await setup.expectFree(setup.resource, "after the body was cancelled")
            },
        ]
    }

    var manyResources: [ConformanceCheck] {
        [
            check("withLocks holds all its resources, each with its fencing token") { setup in
                let names = ["b", "a", "c", "a"].map { "\(setup.resource)-\($0)" }
                try await setup.one.withLocks(names, ttl: setup.long) { leases in
                    try expect(Set(leases.resources) == Set(names), "the leases are of \(leases.resources)")
                    try expect(leases.resources.count == 3, "a resource is locked twice")
                    try leases.check()
                    for name in names {
                        try expect(leases.fencingToken(of: name) != nil, "'\(name)' has no fencing token")
                        try await setup.expectHeld(name, "by the body")
                    }
                    try expect(leases.fencingToken(of: "else") == nil, "a resource that is not held has a token")
                }
                for name in names { try await setup.expectFree(name, "after the body") }
            },
            check("withLocks calls in opposite orders do not deadlock") { setup in
                let names = (0..<4).map { "\(setup.resource)-\($0)" }
                try await withThrowingTaskGroup(of: Void.self) { group in
                    for worker in 0..<6 {
                        let lock = worker.isMultiple(of: 2) ? setup.one : setup.other
                        let order = worker.isMultiple(of: 2) ? names : names.reversed()
                        group.addTask {
                            for _ in 0..<3 {
                                try await lock.withLocks(order, ttl: setup.long, wait: .seconds(30)) { _ in }
                            }
                        }
                    }
                    try await group.waitForAll()
                }
            },
            check("withLocks holds no resource if it cannot have all of them") { setup in
                let free = "\(setup.resource)-a"
                let held = "\(setup.resource)-b"
                let grant = try await setup.other.acquire(held, ttl: setup.long, wait: .zero)
                try await expectError(.lockTimedOut, from: "withLocks") {
                    try await setup.one.withLocks([held, free], ttl: setup.long, wait: .milliseconds(50)) { _ in }
                }
                try await setup.expectFree(free, "after withLocks timed out")
                try await setup.other.release(grant)
            },
        ]
    }
}

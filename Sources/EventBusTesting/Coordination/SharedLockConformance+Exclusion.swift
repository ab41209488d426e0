import EventBus

extension SharedLockConformance {
    var exclusion: [ConformanceCheck] {
        [
            check("many readers hold a resource together, and no writer does meanwhile") { setup in
                var grants: [LockGrant] = []
                for number in 0..<20 {
                    grants.append(try await setup.acquire(.shared, of: number % 2 == 0 ? setup.one : setup.other))
                }
                try expect(Set(grants.map(\.owner)).count == 20, "two readers have the same grant")
                for grant in grants {
                    try expect(try await !setup.isFree(.exclusive), "a writer got the resource beside a reader")
                    try await setup.release(grant)
                }
                try expect(try await setup.isFree(.exclusive), "the resource is not free after its readers")
            },
            check("a writer holds a resource alone") { setup in
                let grant = try await setup.acquire(.exclusive, of: setup.one)
                for share in [LockShare.shared, .exclusive, .shared(limit: 5)] {
                    try expect(try await !setup.isFree(share), "\(share) was granted beside a writer")
                }
                try await setup.release(grant)
                try expect(try await setup.isFree(.shared), "the resource is not free after its writer")
            },
            check("no more permits are held than the limit") { setup in
                var grants: [LockGrant] = []
                for number in 0..<3 {
                    let lock = number % 2 == 0 ? setup.one : setup.other
                    grants.append(try await setup.acquire(.shared(limit: 3), of: lock))
                }
                try expect(try await !setup.isFree(.shared(limit: 3)), "a fourth of three permits was granted")
                try await setup.release(grants.removeLast())
                try expect(try await setup.isFree(.shared(limit: 3)), "a released permit is not free")
                for grant in grants { try await setup.release(grant) }
            },
            check("of many tasks with permits, as many as the limit run at a time") { setup in
                let inside = Occupancy()
                try await withThrowingTaskGroup(of: Void.self) { group in
                    for worker in 0..<9 {
                        let lock = worker.isMultiple(of: 2) ? setup.one : setup.other
                        group.addTask {
                            for _ in 0..<4 {
                                try await lock.withPermit(setup.resource, limit: 3, ttl: setup.long, wait: .seconds(30))
                                {
                                    inside.enter(writes: false, token: $0.fencingToken)
                                    await Task.yield()
                                    inside.leave(writes: false)
                                }
                            }
                        }
                    }
                    try await group.waitForAll()
                }
                let state = inside.now
                try expect(state.total == 36 && state.most <= 3, "\(state.total) of 36 ran, \(state.most) at once")
            },
            check("of many tasks that read and write, a writer runs alone, and its token is greater than all before") {
                setup in
                let inside = Occupancy()
                try await withThrowingTaskGroup(of: Void.self) { group in
                    for worker in 0..<8 {
                        let lock = worker.isMultiple(of: 2) ? setup.one : setup.other
                        group.addTask {
                            for round in 0..<5 {
                                let writes = (worker + round).isMultiple(of: 3)
                                let share = lock.lock(for: writes ? .exclusive : .shared)
                                try await share.withLock(setup.resource, ttl: setup.long, wait: .seconds(30)) { lease in
                                    inside.enter(writes: writes, token: lease.fencingToken)
                                    await Task.yield()
                                    inside.leave(writes: writes)
                                }
                            }
                        }
                    }
                    try await group.waitForAll()
                }
                let state = inside.now
                try expect(state.problem == nil, state.problem ?? "")
                try expect(state.total == 40, "\(state.total) of 40 ran")
            },
            check("a limit below one is an error") { setup in
                try await expectError(.invalidConfiguration, from: "withPermit") {
                    try await setup.one.withPermit(setup.resource, limit: 0) { _ in }
                }
            },
            check("asking again for a resource inside a body is an error, for every kind of share") { setup in
                for outer in [LockShare.shared, .exclusive, .shared(limit: 9)] {
                    for inner in [LockShare.shared, .exclusive, .shared(limit: 9)] {
                        try await expectError(.reentrant, from: "\(inner) inside \(outer)") {
                            try await setup.one.lock(for: outer).withLock(setup.resource, ttl: setup.long) { _ in
                                try await setup.one.lock(for: inner).withLock(setup.resource, ttl: setup.long) { _ in }
                            }
                        }
                    }
                }
                try expect(try await setup.isFree(.exclusive), "the resource is not free afterwards")
            },
        ]
    }
}

/// The holders of a resource at one time.
private final class Occupancy: Sendable {
    struct State {
        var readers = 0
        var writers = 0
        /// The greatest number of holders at one time.
        var most = 0
        var total = 0
        var greatestToken: UInt64 = 0
        var problem: String?
    }

    private let state = Locked(State())

    var now: State { state.withLock { $0 } }

    func enter(writes: Bool, token: UInt64) {
        state.withLock { state in
            if state.writers > 0 || writes && state.readers > 0 { state.problem = "a writer is not alone" }
            if writes, token <= state.greatestToken { state.problem = "the token of a writer did not grow" }
            state.greatestToken = max(state.greatestToken, token)
            state.total += 1
            if writes { state.writers += 1 } else { state.readers += 1 }
            state.most = max(state.most, state.readers + state.writers)
        }
    }

    func leave(writes: Bool) {
        state.withLock { state in
            if writes { state.writers -= 1 } else { state.readers -= 1 }
        }
    }
}

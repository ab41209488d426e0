import EventBus

extension LockConformance {
    private struct BodyFailed: Error {}

    var leading: [ConformanceCheck] {
        [
            check("one of many candidates leads at a time, and each leads in turn") { setup in
                let inside = EventLog<Int>()
                let outside = EventLog<Int>()
                try await withThrowingTaskGroup(of: Void.self) { group in
                    for candidate in 0..<4 {
                        let lock = candidate.isMultiple(of: 2) ? setup.one : setup.other
                        group.addTask {
                            try await lock.lead(setup.resource, ttl: setup.long) { lease in
                                try lease.check()
                                let entered = inside.note(candidate)
                                try expect(entered == outside.count + 1, "two lead at once")
                                try await setup.one.clock.sleep(for: .milliseconds(10))
                                outside.note(candidate)
                            }
                        }
                    }
                    try await group.waitForAll()
                }
                try expect(Set(inside.entries) == [0, 1, 2, 3], "\(inside.entries) have led")
                try await setup.expectFree(setup.resource, "after the last leader returned")
            },
            check("a leader returns the result of its body and throws its errors, and no longer leads then") { setup in
                let result = try await setup.one.lead(setup.resource, ttl: setup.long) { _ in 42 }
                try expect(result == 42, "lead returned \(result)")
                do {
                    try await setup.one.lead(setup.resource, ttl: setup.long) { _ in throw BodyFailed() }
                    throw ConformanceFailure("lead returned, though its body threw")
                } catch is BodyFailed {}
                try await setup.expectFree(setup.resource, "after its leaders have ended")
            },
            check("a candidate leads after the lease of a dead leader, with a greater fencing token") { setup in
                let dead = try await setup.one.acquire(setup.resource, ttl: setup.ttl, wait: .zero)
                let token = try await setup.other.lead(setup.resource, ttl: setup.long) { $0.fencingToken }
                try expect(token > dead.fencingToken, "token \(token) came after \(dead.fencingToken)")
            },
            check("a leader whose lease is lost is cancelled, and leads again") { setup in
                let terms = EventLog<UInt64>()
                let count = try await setup.one.lead(setup.resource, ttl: setup.ttl) { lease in
                    let number = terms.note(lease.fencingToken)
                    guard number == 1 else { return number }
                    // The store forgets the leader, who learns of it at the next renewal.
                    try await setup.one.release(lease.holding.grant)
                    try await Task.sleep(for: .seconds(60))
                    return number
                }
                try expect(count >= 2, "the leader was not cancelled")
                let tokens = terms.entries
                try expect(zip(tokens, tokens.dropFirst()).allSatisfy { $0 < $1 }, "the tokens were \(tokens)")
            },
            check("a cancelled candidate and a cancelled leader throw, and leave the role free") { setup in
                let leads = Gate()
                let leader = Task {
                    try await setup.one.lead(setup.resource, ttl: setup.long) { _ in
                        leads.open()
                        try await Task.sleep(for: .seconds(60))
                    }
                }
                await leads.pass()
                let candidate = Task { try await setup.other.lead(setup.resource, ttl: setup.long) { _ in } }
                candidate.cancel()
                leader.cancel()
                for task in [candidate, leader] {
                    do {
                        try await task.value
                        throw ConformanceFailure("a cancelled task led to the end")
                    } catch is CancellationError {}
                }
                try await setup.expectFree(setup.resource, "after its candidates were cancelled")
            },
        ]
    }
}

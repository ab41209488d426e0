import EventBus

extension LockConformance {
    var exclusion: [ConformanceCheck] {
        [
            check("a free resource is granted, a held one is refused, and a released one is granted again") { setup in
                let grant = try await setup.one.acquire(setup.resource, ttl: setup.long, wait: .zero)
                try expect(grant.resource == setup.resource, "the grant is for '\(grant.resource)'")
                try await setup.expectHeld(setup.resource, "by the first")
                try await setup.one.release(grant)
                try await setup.expectFree(setup.resource, "after its release")
            },
            check("resources are independent of each other, however they are spelled") { setup in
                let name = setup.resource
                let long = name + String(repeating: "x", count: 200)
                let names = [
                    name, "\(name):l", "{\(name)}", "\(name) 1", "\(name)\u{E9}", "\(name)e\u{301}", "\(name)\n", long,
                ]
                for name in names {
                    let grant = try await setup.one.acquire(name, ttl: setup.long, wait: .zero)
                    try expect(grant.resource == name, "the grant is for '\(grant.resource)'")
                }
                for name in names { try await setup.expectHeld(name, "by its holder") }
            },
            check("of many tasks that want a resource, one holds it at a time") { setup in
                let inside = EventLog<Int>()
                let outside = EventLog<Int>()
                try await withThrowingTaskGroup(of: Void.self) { group in
                    for worker in 0..<8 {
                        let lock = worker.isMultiple(of: 2) ? setup.one : setup.other
                        group.addTask {
                            for _ in 0..<5 {
                                try await lock.withLock(setup.resource, ttl: setup.long, wait: .seconds(30)) { _ in
                                    let entered = inside.note(worker)
                                    try expect(entered == outside.count + 1, "two are inside at once")
                                    await Task.yield()
                                    outside.note(worker)
                                }
                            }
                        }
                    }
                    try await group.waitForAll()
                }
                try expect(inside.count == 40, "\(inside.count) of 40 got the resource")
            },
            check("fencing tokens grow from grant to grant, for every holder and after an expiry") { setup in
                var last: UInt64 = 0
                for round in 0..<6 {
                    let lock = round.isMultiple(of: 2) ? setup.one : setup.other
                    let expires = round.isMultiple(of: 3)
                    let grant = try await lock.acquire(
                        setup.resource,
                        ttl: expires ? setup.ttl / 3 : setup.long,
                        wait: .seconds(10)
                    )
                    try expect(grant.fencingToken > last, "token \(grant.fencingToken) came after \(last)")
                    last = grant.fencingToken
                    if !expires { try await lock.release(grant) }
                }
            },
        ]
    }
}

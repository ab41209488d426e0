import EventBus

extension LockConformance {
    var reentrancy: [ConformanceCheck] {
        [
            check("a lock that its holder takes again is refused immediately, in its task and child tasks") { setup in
                try await setup.one.withLock(setup.resource, ttl: setup.long) { _ in
                    let again: @Sendable () async throws -> Void = {
                        try await setup.one.withLock(setup.resource, ttl: setup.long, wait: .seconds(600)) { _ in }
                    }
                    try await expectError(.reentrant, from: "withLock inside withLock", again)
                    try await withThrowingTaskGroup(of: Void.self) { group in
                        group.addTask { try await expectError(.reentrant, from: "withLock in a child task", again) }
                        try await group.waitForAll()
                    }
                    try await expectError(.reentrant, from: "withLocks inside withLock") {
                        let names = [setup.resource, "\(setup.resource)-more"]
                        try await setup.one.withLocks(names, ttl: setup.long, wait: .seconds(600)) { _ in }
                    }
                    let lease = try await setup.one.tryLock(setup.resource, ttl: setup.long)
                    try expect(lease == nil, "tryLock got a resource that is held")
                    try await setup.expectHeld(setup.resource, "by the body")
                }
                try await setup.expectFree(setup.resource, "after the body")
                try await setup.expectFree("\(setup.resource)-more", "after the body")
            },
            check("other locks may be taken inside a body, and the same one afterwards") { setup in
                try await setup.one.withLock(setup.resource, ttl: setup.long) { _ in
                    try await setup.one.withLock("\(setup.resource)-inner", ttl: setup.long) { _ in }
                }
                try await setup.one.withLock(setup.resource, ttl: setup.long) { _ in }
            },
        ]
    }
}

import EventBus

extension LockConformance {
    var waiting: [ConformanceCheck] {
        [
            check("a release wakes the next waiter") { setup in
                let grant = try await setup.one.acquire(setup.resource, ttl: setup.long, wait: .zero)
                async let next = setup.other.acquire(setup.resource, ttl: setup.long, wait: .seconds(30))
                try await setup.pause()
                let released = setup.other.clock.now
                try await setup.one.release(grant)
                try await setup.other.release(next)
                let handover = released.duration(to: setup.other.clock.now)
                try expect(handover < .seconds(10), "the waiter noticed the release after \(handover)")
            },
            check("waiters get the resource in the order of arrival") { setup in
                let grant = try await setup.one.acquire(setup.resource, ttl: setup.long, wait: .zero)
                let order = EventLog<Int>()
                try await withThrowingTaskGroup(of: Void.self) { group in
                    for number in 0..<5 {
                        let lock = number.isMultiple(of: 2) ? setup.other : setup.one
                        group.addTask {
                            try await lock.withLock(setup.resource, ttl: setup.long, wait: .seconds(30)) { _ in
                                _ = order.note(number)
                            }
                        }
                        try await setup.pause()
                    }
                    try await setup.one.release(grant)
                    try await group.waitForAll()
                }
                try expect(order.entries == [0, 1, 2, 3, 4], "the order was \(order.entries)")
            },
            check("a wait that times out throws and leaves the queue") { setup in
                let grant = try await setup.one.acquire(setup.resource, ttl: setup.long, wait: .zero)
                let begin = setup.other.clock.now
                try await expectError(.lockTimedOut, from: "acquire") {
                    _ = try await setup.other.acquire(setup.resource, ttl: setup.long, wait: .milliseconds(100))
                }
                let waited = begin.duration(to: setup.other.clock.now)
                try expect(waited >= .milliseconds(100), "it gave up after \(waited) of 100 ms")
                try await setup.one.release(grant)
                try await setup.expectFree(setup.resource, "after its release")
            },
            check("a wait that is cancelled throws and leaves the queue") { setup in
                let grant = try await setup.one.acquire(setup.resource, ttl: setup.long, wait: .zero)
                let waiting = Task {
                    try await setup.other.acquire(setup.resource, ttl: setup.long, wait: .seconds(30))
                }
                try await setup.pause()
                waiting.cancel()
                do {
                    _ = try await waiting.value
                    throw ConformanceFailure("a cancelled wait was granted a held resource")
                } catch is CancellationError {}
                try await setup.one.release(grant)
                try await setup.expectFree(setup.resource, "after its release")
            },
            check("a wait that is cancelled as its turn comes leaves the resource free") { setup in
                for _ in 0..<20 {
                    let grant = try await setup.one.acquire(setup.resource, ttl: setup.long, wait: .seconds(10))
                    let waiting = Task {
                        try await setup.other.withLock(setup.resource, ttl: setup.long, wait: .seconds(30)) { _ in }
                    }
                    try await setup.one.clock.sleep(for: .milliseconds(5))
                    async let release: Void = setup.one.release(grant)
                    waiting.cancel()
                    try await release
                    _ = await waiting.result
                }
                try await setup.expectFree(setup.resource, "after its waiters were cancelled")
            },
        ]
    }
}

extension LockConformance.Setup {
    /// Gives a request time to reach the store. A queue behind a network cannot be observed from here.
    fileprivate func pause() async throws {
        try await one.clock.sleep(for: .milliseconds(60))
    }
}

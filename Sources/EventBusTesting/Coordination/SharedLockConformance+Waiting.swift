import EventBus

extension SharedLockConformance {
    var waiting: [ConformanceCheck] {
        [
            check("readers that ask after a waiting writer get the resource after it") { setup in
                let reader = try await setup.acquire(.shared, of: setup.one)
                let order = EventLog<String>()
                let writing = Task {
                    let grant = try await setup.acquire(.exclusive, of: setup.other, wait: .seconds(30))
                    order.note("writer")
                    try await setup.release(grant)
                }
                try await setup.awaitWaiter(whileFree: .shared)
                let reading = Task {
                    let grant = try await setup.acquire(.shared, of: setup.one, wait: .seconds(30))
                    order.note("reader")
                    try await setup.release(grant)
                }
                try await setup.release(reader)
                try await writing.value
                try await reading.value
                try expect(order.entries == ["writer", "reader"], "the order was \(order.entries)")
            },
            check("the release of a writer hands the resource to all waiting readers") { setup in
                let writer = try await setup.acquire(.exclusive, of: setup.one)
                let together = EventLog<Int>()
                let everyone = Gate()
                try await withThrowingTaskGroup(of: Void.self) { group in
                    for number in 0..<6 {
                        let lock = number.isMultiple(of: 2) ? setup.one : setup.other
                        group.addTask {
                            let grant = try await setup.acquire(.shared, of: lock, wait: .seconds(30))
                            // Each keeps its share until all of them have one.
                            if together.note(number) == 6 { everyone.open() }
                            await everyone.pass()
                            try await setup.release(grant)
                        }
                    }
                    try await setup.release(writer)
                    try await group.waitForAll()
                }
                try expect(try await setup.isFree(.exclusive), "the resource is not free after its readers")
            },
            check("the last reader's release hands the resource to a waiting writer") { setup in
                let readers = [
                    try await setup.acquire(.shared, of: setup.one), try await setup.acquire(.shared, of: setup.other),
                ]
                let writing = Task { try await setup.acquire(.exclusive, of: setup.other, wait: .seconds(30)) }
                try await setup.awaitWaiter(whileFree: .shared)
                for reader in readers { try await setup.release(reader) }
                let writer = try await writing.value
                try expect(writer.fencingToken > readers[1].fencingToken, "the writer's token did not grow")
                try await setup.release(writer)
            },
            check("a released permit goes to the first waiter") { setup in
                let grants = [
                    try await setup.acquire(.shared(limit: 2), of: setup.one),
                    try await setup.acquire(.shared(limit: 2), of: setup.other),
                ]
                let waiting = Task { try await setup.acquire(.shared(limit: 2), of: setup.other, wait: .seconds(30)) }
                // A third permit would be free if nobody waited.
                try await setup.awaitWaiter(whileFree: .shared(limit: 3))
                try await setup.release(grants[0])
                try await setup.release(try await waiting.value)
                try await setup.release(grants[1])
            },
            check("a waiting writer that is cancelled, or whose time is over, lets the readers behind it pass") {
                setup in
                let reader = try await setup.acquire(.shared, of: setup.one)
                let cancelled = Task { try await setup.acquire(.exclusive, of: setup.other, wait: .seconds(60)) }
                try await setup.awaitWaiter(whileFree: .shared)
                let behind = Task { try await setup.acquire(.shared, of: setup.one, wait: .seconds(30)) }
                cancelled.cancel()
                do {
                    _ = try await cancelled.value
                    throw ConformanceFailure("a cancelled wait was granted a held resource")
                } catch is CancellationError {}
                try await setup.release(try await behind.value)
                try await expectError(.lockTimedOut, from: "acquire") {
                    _ = try await setup.acquire(.exclusive, of: setup.other, wait: .milliseconds(100))
                }
                try await eventually("a reader") { try await setup.isFree(.shared) }
                try await setup.release(reader)
                try await eventually("a writer") { try await setup.isFree(.exclusive) }
            },
        ]
    }

    var leases: [ConformanceCheck] {
        [
            check("shares that are not renewed end, one after another, and a waiting writer gets the resource") {
                setup in
                let first = try await setup.acquire(.shared, of: setup.one, ttl: setup.ttl)
                let second = try await setup.acquire(.shared, of: setup.other, ttl: setup.ttl * 2)
                let clock = setup.one.lock(for: .shared).clock
                let writer = try await setup.acquire(.exclusive, of: setup.one, wait: .seconds(30))
                let now = clock.now
                try expect(first.validUntil <= now, "the writer got the resource while the first share was valid")
                for (lock, grant) in [(setup.one, first), (setup.other, second)] {
                    try await expectError(.leaseExpired, .lockNotOwned, from: "renew") {
                        _ = try await lock.lock(for: .shared).renew(grant)
                    }
                    try await expectError(.leaseExpired, .lockNotOwned, from: "release") {
                        try await lock.lock(for: .shared).release(grant)
                    }
                }
                try expect(try await !setup.isFree(.shared), "late calls ended the writer's lease")
                try await setup.release(writer)
            },
            check("one share is renewed while others end") { setup in
                let kept = try await setup.acquire(.shared, of: setup.one, ttl: setup.ttl * 10)
                _ = try await setup.acquire(.shared, of: setup.other, ttl: setup.ttl)
                let clock = setup.one.lock(for: .shared).clock
                let end = clock.now.advanced(by: setup.ttl * 2)
                while clock.now < end {
                    _ = try await setup.one.lock(for: .shared).renew(kept)
                    try await clock.sleep(for: setup.ttl / 3)
                }
                try expect(try await !setup.isFree(.exclusive), "a writer got the resource beside a renewed reader")
                try expect(try await setup.isFree(.shared(limit: 2)), "a share that ended still counts")
                try await setup.release(kept)
            },
        ]
    }
}

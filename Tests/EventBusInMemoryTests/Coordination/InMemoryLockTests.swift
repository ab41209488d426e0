import EventBus
import EventBusInMemory
import EventBusTesting
import Testing

extension CoordinationTests {
    @Suite("The in-memory lock on a manual clock")
    struct InMemoryLockTests {
        let clock = ManualClock()
        let lock: InMemoryLock

        init() {
            lock = InMemoryLock(clock: clock)
        }

        @Test("An expired lease passes the resource to the next waiter, repeatedly")
        func expiry() async throws {
            let grant = try await lock.acquire("sku", ttl: .seconds(10), wait: .zero)
            let order = EventLog<Int>()
            try await withThrowingTaskGroup(of: Void.self) { group in
                // Each grant expires, and each has a shorter time to live than the one before.
                for number in 0..<5 {
                    group.addTask {
                        _ = try await lock.acquire("sku", ttl: .seconds(9 - number), wait: .seconds(1_000))
                        order.note(number)
                    }
                    try await clock.sleepers(atLeast: number + 1)
                }
                clock.advance(to: .init(offset: .seconds(10)))
                for number in 0..<5 {
                    try await eventually("grant \(number)") { order.count == number + 1 }
                    clock.advance(by: .seconds(9 - number))
                }
                try await group.waitForAll()
            }
            #expect(order.entries == [0, 1, 2, 3, 4])
            await #expect(throws: EventBusError.self) { try await lock.release(grant) }
        }

        @Test("A thousand waiters get the resource, one at a time, in the order of arrival")
        func thousandWaiters() async throws {
            let grant = try await lock.acquire("sku", ttl: .seconds(10), wait: .zero)
            let order = EventLog<Int>()
            let tokens = EventLog<UInt64>()
            try await withThrowingTaskGroup(of: Void.self) { group in
                for number in 0..<1_000 {
                    group.addTask {
                        let grant = try await lock.acquire("sku", ttl: .seconds(10), wait: .seconds(5))
                        order.note(number)
                        tokens.note(grant.fencingToken)
                        try await lock.release(grant)
                    }
                    try await clock.sleepers(atLeast: number + 1)
                }
                try await lock.release(grant)
                try await group.waitForAll()
            }
            #expect(order.entries == Array(0..<1_000))
            #expect(zip(tokens.entries, tokens.entries.dropFirst()).allSatisfy { $0 < $1 })
            #expect(lock.count == 0)
            #expect(clock.sleeperCount == 0)
        }

        @Test("A thousand waiters time out together and leave nothing behind")
        func thousandTimeouts() async throws {
            let grant = try await lock.acquire("sku", ttl: .seconds(10), wait: .zero)
            let waiters = (0..<1_000).map { _ in
                Task { try await lock.acquire("sku", ttl: .seconds(10), wait: .seconds(5)) }
            }
            try await clock.sleepers(atLeast: 1_000)
            clock.advance(by: .seconds(5))
            for waiter in waiters {
                let error = await #expect(throws: EventBusError.self) { try await waiter.value }
                #expect(error?.code == .lockTimedOut)
            }
            try await lock.release(grant)
            #expect(lock.count == 0)
            #expect(clock.sleeperCount == 0)
        }

        @Test("Cancelling a waiter leaves no lock behind at any point")
        func cancelAnywhere() async throws {
            let granted = EventLog<Bool>()
            // Each round gives the waiter, the release and the cancellation a different head start.
            for round in 0..<600 {
                let grant = try await lock.acquire("sku", ttl: .seconds(10), wait: .zero)
                let waiter = Task {
                    for _ in 0..<(round % 3) { await Task.yield() }
                    let grant = try await lock.acquire("sku", ttl: .seconds(10), wait: .seconds(10))
                    granted.note(true)
                    try await lock.release(grant)
                }
                let canceller = Task {
                    for _ in 0..<(round % 20) { await Task.yield() }
                    waiter.cancel()
                }
                for _ in 0..<(round % 7) { await Task.yield() }
                try await lock.release(grant)
                await canceller.value
                if case .failure(let error) = await waiter.result { #expect(error is CancellationError) }
                try #require(lock.count == 0, "round \(round) left a lock behind")
                try #require(clock.sleeperCount == 0, "round \(round) left a sleeper behind")
            }
            #expect(granted.count < 600, "no waiter was ever cancelled in time")
        }

        @Test("A waiter that is cancelled before it asks gets nothing")
        func cancelledBefore() async throws {
            let task = Task {
                withUnsafeCurrentTask { unsafe $0?.cancel() }
                return try await lock.acquire("sku", ttl: .seconds(10), wait: .seconds(10))
            }
            await #expect(throws: CancellationError.self) { try await task.value }
            #expect(lock.count == 0)
        }

        @Test("Fencing tokens start at the time of day, not at zero, in each process")
        func tokensSurvive() async throws {
            let before = UInt64(EventTime.now().milliseconds) * 1000
            let lock = InMemoryLock(clock: clock)
            #expect(try await lock.acquire("sku", ttl: .seconds(10), wait: .zero).fencingToken > before)
        }

        @Test("A body holds the lock while a thousand others wait")
        func thousandBodies() async throws {
            let inside = EventLog<Int>()
            let outside = EventLog<Int>()
            try await withThrowingTaskGroup(of: Void.self) { group in
                for number in 0..<1_000 {
                    group.addTask {
                        try await lock.withLock("sku", ttl: .seconds(10), wait: .seconds(10)) { _ in
                            let entered = inside.note(number)
                            try expect(entered == outside.count + 1, "two are inside at once")
                            await Task.yield()
                            outside.note(number)
                        }
                    }
                }
                try await group.waitForAll()
            }
            #expect(inside.count == 1_000)
            #expect(lock.count == 0)
        }
    }
}

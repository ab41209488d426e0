import EventBus
import EventBusInMemory
import EventBusTesting
import Testing

extension CoordinationTests {
    @Suite("The in-memory cache on a manual clock")
    struct InMemoryCacheTests {
        struct ComputeFailed: Error {}

        let clock = ManualClock()
        let cache: InMemoryCache
        let options = CacheOptions(ttl: .seconds(10), jitter: 0)

        init() {
            cache = InMemoryCache(clock: clock)
        }

        private func value(_ options: CacheOptions, _ value: Int) async throws -> Int {
            try await cache.value(for: "key", as: Int.self, options: options) { value }
        }

        @Test("A thousand concurrent callers get the value of one computation")
        func singleFlight() async throws {
            let calls = EventLog<Int>()
            let gate = Gate()
            let values = try await withThrowingTaskGroup(of: Int.self) { group in
                for _ in 0..<1_000 {
                    group.addTask {
                        try await cache.value(for: "key", as: Int.self) {
                            await gate.pass()
                            return calls.note(0)
                        }
                    }
                }
                try await eventually("the computation") { clock.sleeperCount == 1 }
                gate.open()
                return try await group.reduce(into: []) { $0.append($1) }
            }
            #expect(values == Array(repeating: 1, count: 1_000))
            #expect(calls.count == 1)
        }

        @Test("A thousand callers with overlapping batches compute each key once")
        func overlappingBatches() async throws {
            let computed = EventLog<[String]>()
            try await withThrowingTaskGroup(of: Void.self) { group in
                for number in 0..<1_000 {
                    let keys = (0..<10).map { "\((number + $0) % 50)" }
                    group.addTask {
                        let values = try await cache.values(for: keys, as: String.self) { missing in
                            computed.note(missing)
                            await Task.yield()
                            return Dictionary(uniqueKeysWithValues: missing.map { ($0, $0) })
                        }
                        #expect(Set(values.keys) == Set(keys))
                    }
                }
                try await group.waitForAll()
            }
            #expect(computed.entries.flatMap { $0 }.sorted() == (0..<50).map(String.init).sorted())
        }

        @Test("A value is fresh for exactly its time to live")
        func freshness() async throws {
            #expect(try await value(options, 1) == 1)
            clock.advance(by: .milliseconds(9_999))
            #expect(try await value(options, 2) == 1)
            clock.advance(by: .milliseconds(1))
            #expect(try await value(options, 3) == 3)
        }

        @Test("A stale value is served immediately and refreshed by one background computation")
        func staleWhileRevalidate() async throws {
            var options = options
            options.staleWhileRevalidate = .seconds(5)
            #expect(try await value(options, 1) == 1)
            clock.advance(by: .seconds(14))
            let gate = Gate()
            let calls = EventLog<Int>()
            for _ in 0..<100 {
                let value = try await cache.value(for: "key", as: Int.self, options: options) {
                    calls.note(0)
                    await gate.pass()
                    return 2
                }
                #expect(value == 1)
            }
            gate.open()
            try await eventually("the new value") { try await value(options, 3) == 2 }
            #expect(calls.count == 1)
        }

        @Test("A value too stale to be served is computed while the caller waits")
        func tooStale() async throws {
            var options = options
            options.staleWhileRevalidate = .seconds(5)
            options.staleOnError = .seconds(50)
            #expect(try await value(options, 1) == 1)
            clock.advance(by: .seconds(15))
            #expect(try await value(options, 2) == 2)
        }

        @Test("During the grace period a stale value replaces an error, which is thrown afterwards")
        func staleOnError() async throws {
            var options = options
            options.staleOnError = .seconds(50)
            #expect(try await value(options, 1) == 1)
            clock.advance(by: .seconds(59))
            let fail: @Sendable () async throws -> Int = { throw ComputeFailed() }
            #expect(try await cache.value(for: "key", as: Int.self, options: options, compute: fail) == 1)
            clock.advance(by: .seconds(1))
            await #expect(throws: ComputeFailed.self) {
                try await cache.value(for: "key", as: Int.self, options: options, compute: fail)
            }
        }

        @Test("A batch with an error serves stale values, but throws if a key has none")
        func batchError() async throws {
            var options = options
            options.staleOnError = .seconds(50)
            for key in ["a", "b"] { try await cache.set(key, for: key, options: options) }
            clock.advance(by: .seconds(20))
            let fail: @Sendable ([String]) async throws -> [String: String] = { _ in throw ComputeFailed() }
            let values = try await cache.values(for: ["a", "b"], as: String.self, options: options, compute: fail)
            #expect(values == ["a": "a", "b": "b"])
            await #expect(throws: ComputeFailed.self) {
                try await cache.values(for: ["a", "c"], as: String.self, options: options, compute: fail)
            }
        }

        @Test("The absence of a value is cached for its own time")
        func negative() async throws {
            var options = options
            options.negativeTTL = .seconds(2)
            let calls = EventLog<Int>()
            let none: @Sendable () async throws -> Int? = {
                calls.note(0)
                return nil
            }
            for _ in 0..<3 {
                #expect(try await cache.value(for: "key", as: Int.self, options: options, compute: none) == nil)
            }
            #expect(calls.count == 1)
            clock.advance(by: .seconds(2))
            #expect(try await cache.value(for: "key", as: Int.self, options: options, compute: none) == nil)
            #expect(calls.count == 2)
        }

        @Test("The absence of a value replaces the stale value")
        func noMore() async throws {
            var options = options
            options.staleOnError = .seconds(50)
            #expect(try await value(options, 1) == 1)
            clock.advance(by: .seconds(10))
            let none: @Sendable () async throws -> Int? = { nil }
            #expect(try await cache.value(for: "key", as: Int.self, options: options, compute: none) == nil)
            #expect(cache.count == 0)
        }

        @Test("Removing a tag during the refresh of its entry drops the old value and the refresh")
        func tagDuringRenewal() async throws {
            var options = options
            options.staleWhileRevalidate = .seconds(50)
            options.tags = ["tag"]
            #expect(try await value(options, 1) == 1)
            clock.advance(by: .seconds(10))
            let gate = Gate()
            let ended = Gate()
            let old = try await cache.value(for: "key", as: Int.self, options: options) {
                defer { ended.open() }
                await gate.pass()
                return 2
            }
            #expect(old == 1)
            try await cache.removeAll(tag: "tag")
            #expect(try await value(options, 3) == 3)
            gate.open()
            await ended.pass()
            try await eventually("the renewal should end") { clock.sleeperCount == 0 }
            #expect(try await value(options, 4) == 3)
        }

        @Test("A computation that exceeds its time is given up, and a stale value is served")
        func timeout() async throws {
            var options = options
            options.staleOnError = .seconds(600)
            #expect(try await value(options, 1) == 1)
            clock.advance(by: .seconds(10))
            try await eventually("the first computation should end") { clock.sleeperCount == 0 }
            let gate = Gate()
            defer { gate.open() }
            let asking = Task { [options] in
                try await cache.value(for: "key", as: Int.self, options: options) {
                    await gate.pass()
                    return 2
                }
            }
            try await clock.sleepers(atLeast: 1)
            clock.advance(by: .seconds(30))
            #expect(try await asking.value == 1)
        }

        @Test("Jitter shortens freshness by at most its fraction")
        func jitter() async throws {
            var options = options
            options.jitter = 0.5
            for number in 0..<200 { try await cache.set(number, for: "\(number)", options: options) }
            func fresh() async throws -> Int {
                let keys = (0..<200).map(String.init)
                return try await cache.values(for: keys, as: Int.self, options: options) { _ in [:] }.count
            }
            clock.advance(by: .milliseconds(4_999))
            #expect(try await fresh() == 200)
            clock.advance(by: .milliseconds(2_500))
            let half = try await fresh()
            #expect(half > 40 && half < 160)
            clock.advance(by: .milliseconds(2_501))
            #expect(try await fresh() == 0)
        }

        @Test("A caller that needs a value joins a computation that finds none, and then computes")
        func joinsNone() async throws {
            let gate = Gate()
            let started = Gate()
            let calls = EventLog<Int>()
            let optional = Task {
                try await cache.value(for: "key", as: Int.self) {
                    started.open()
                    await gate.pass()
                    return nil as Int?
                }
            }
            await started.pass()
            let needed = Task {
                try await cache.value(for: "key", as: Int.self) { calls.note(0) }
            }
            gate.open()
            #expect(try await optional.value == nil)
            #expect(try await needed.value == 1)
        }

        @Test("A caller that was already cancelled computes nothing")
        func cancelledBefore() async throws {
            let calls = EventLog<Int>()
            let task = Task {
                withUnsafeCurrentTask { unsafe $0?.cancel() }
                return try await cache.value(for: "key", as: Int.self) { calls.note(0) }
            }
            await #expect(throws: CancellationError.self) { try await task.value }
            #expect(calls.count == 0)
        }

        @Test("It holds no more entries than its capacity")
        func capacity() async throws {
            let cache = InMemoryCache(capacity: 100, clock: clock)
            for number in 0..<1_000 { try await cache.set(number, for: "\(number)") }
            #expect(cache.count == 100)
        }
    }
}

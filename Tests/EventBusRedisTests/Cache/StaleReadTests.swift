import EventBus
import Glibc
import Testing

@testable import EventBusRedis

extension RedisTests {
    /// Readers with a first level, and writers elsewhere, across Sentinel failovers.
    ///
    /// `EVENTBUS_TEST_FULL=1` runs more failovers and more reads.
    @Suite(.timeLimit(.minutes(10)))
    struct StaleReadTests {
        private static let isFull = getenv("EVENTBUS_TEST_FULL") != nil
        private static let failovers = isFull ? 5 : 1
        /// The number of checks of each reader before and after each failover.
        private static let checks = isFull ? 20_000 : 500
        private static let options = CacheOptions(ttl: .seconds(600))

        /// Writes the numbers from 0 on, each under one of several keys in turn, and then as the latest number.
        private final class Writer: Sendable {
            static let slots = 20
            private struct State {
                /// The instants at which the numbers were acknowledged.
                var acknowledged: [ContinuousClock.Instant] = []
                /// The numbers up to this one may be lost.
                var lost = -1
            }

            private let name: Int
            private let cache: RedisCache
            private let state = Locked(State())

            init(_ name: Int, _ cache: RedisCache) {
                self.name = name
                self.cache = cache
            }

            var latestKey: String { "\(name)-latest" }
            func key(of slot: Int) -> String { "\(name)-\(slot)" }

            func run(until end: Shared<Bool>) async {
                var number = 0
                while !end.value || number < Self.slots {
                    await store(number, key(of: number % Self.slots))
                    let now = ContinuousClock.now
                    state.withLock { $0.acknowledged.append(now) }
                    await store(number, latestKey)
                    number += 1
                }
            }

            /// Repeats a write until it is acknowledged.
            private func store(_ number: Int, _ key: String) async {
                while (try? await cache.set(number, for: key, options: StaleReadTests.options)) == nil {
                    await Task.yield()
                }
            }

            /// Records that the numbers written so far, and the one being written, may be lost.
            func noteFailover() {
                state.withLock { $0.lost = $0.acknowledged.count }
            }

            /// Returns the number that a slot must have at least, after `latest` was read, or `nil` if it may be lost.
            func expected(in slot: Int, after latest: Int) -> Int? {
                let number = latest - (latest - slot) % Self.slots
                return number > state.withLock({ $0.lost }) ? number : nil
            }

            /// Returns the time for which `number` had been replaced in its slot at `instant`.
            func age(of number: Int, at instant: ContinuousClock.Instant) -> Duration {
                state.withLock { state in
                    let next = number + Self.slots
                    guard number > state.lost, next < state.acknowledged.count else { return .zero }
                    return max(.zero, state.acknowledged[next].duration(to: instant))
                }
            }

            var count: Int { state.withLock { $0.acknowledged.count } }
        }

        private struct Figures {
            var reads = 0
            var fromMemory = 0
            /// The reads of a value that had been replaced for more than 10 ms.
            var late = 0
            var oldest = Duration.zero
            /// The checks after a message about the change had been received.
            var checks = 0
            var stale = 0
        }

        private final class Reader: Sendable {
            let client: RedisClient
            private let cache: RedisCache
            let figures = Shared(Figures())

            init(_ client: RedisClient) {
                self.client = client
                cache = RedisCache(client)
            }

            /// Returns the value for a key, or `nil` if the server did not answer.
            func read(_ key: String) async throws -> Int? {
                let options = StaleReadTests.options
                if let value = cache.cachedValue(for: key, as: Int.self, options: options) as? Int {
                    figures.change { $0.fromMemory += 1 }
                    return value
                }
                return try await cache.value(for: key, as: Int.self, options: options) { nil }
            }

            /// Reads until `end`. Reads that overlap with a failover, during which `epoch` is odd, are not counted.
            func run(_ writers: [Writer], _ epoch: Shared<Int>, until end: Shared<Bool>) async throws {
                while !end.value {
                    let start = epoch.value
                    let writer = writers[Int.random(in: writers.indices)]
                    let latest = try await read(writer.latestKey)
                    let received = ContinuousClock.now
                    let slots = (0..<10).map { _ in Int.random(in: 0..<Writer.slots) }
                    var ages: [Duration] = []
                    for slot in slots {
                        guard let number = try await read(writer.key(of: slot)) else { continue }
                        ages.append(writer.age(of: number, at: received))
                    }
                    // The server reported the change before it acknowledged it, and therefore before it answers this.
                    guard let latest, (try? await cache.subscriber.send(RedisCommand("PING"))) != nil else { continue }
                    var values: [Int?] = []
                    for slot in slots { values.append(try await read(writer.key(of: slot))) }
                    guard start.isMultiple(of: 2), epoch.value == start else { continue }
                    let results = zip(slots, values).compactMap { slot, value -> Bool? in
                        guard let value, let expected = writer.expected(in: slot, after: latest) else { return nil }
                        return value < expected
                    }
                    figures.change { figures in
                        figures.reads += ages.count + results.count
                        figures.late += ages.count { $0 > .milliseconds(10) }
                        figures.oldest = max(figures.oldest, ages.max() ?? .zero)
                        figures.checks += results.count
                        figures.stale += results.count { $0 }
                    }
                }
            }
        }

        @Test func `no value is read whose change was reported, and a failover hides none from its new primary`()
            async throws
        {
            let fleet = try await SentinelFleet()
            let client = try RedisClient(fleet.configuration, logger: .silent)
            let writers = (0..<2).map { Writer($0, RedisCache(client)) }
            let readers = try (0..<2).map { _ in Reader(try RedisClient(fleet.configuration, logger: .silent)) }
            let clients = [client] + readers.map(\.client)
            let (epoch, isWritten, isRead) = (Shared(0), Shared(false), Shared(false))
            try await withThrowingTaskGroup(of: Void.self) { group in
                for writer in writers { group.addTask { await writer.run(until: isWritten) } }
                for reader in readers { group.addTask { try await reader.run(writers, epoch, until: isRead) } }
                defer {
                    isWritten.change { $0 = true }
                    isRead.change { $0 = true }
                }
                func awaitChecks() async throws {
                    let before = readers.map(\.figures.value.checks)
                    try await eventually("all readers should check what was written last", within: .seconds(100)) {
                        zip(readers, before).allSatisfy { $0.figures.value.checks >= $1 + Self.checks }
                    }
                }
                try await awaitChecks()
                for _ in 0..<Self.failovers {
                    let run = try #require(client.values.presence.server?.runID)
                    epoch.change { $0 += 1 }
                    try await fleet.failOver()
                    try await eventually("all clients should know the new primary", within: .seconds(60)) {
                        for client in clients { try? await client.ping() }
                        let runs = clients.flatMap { [$0.serverRunID, $0.values.presence.server?.runID] }
                        return runs.allSatisfy { $0 != nil && $0 != run } && Set(runs).count == 1
                    }
                    for writer in writers { writer.noteFailover() }
                    epoch.change { $0 += 1 }
                    try await awaitChecks()
                }
            }
            for reader in readers {
                for writer in writers {
                    for number in writer.count - Writer.slots..<writer.count {
                        let key = writer.key(of: number % Writer.slots)
                        try await eventually("\(key) should be \(number)") { try await reader.read(key) == number }
                    }
                }
            }
            let figures = readers.map(\.figures.value)
            func sum(_ path: KeyPath<Figures, Int>) -> Int { figures.reduce(0) { $0 + $1[keyPath: path] } }
            print(
                """
                \(writers.reduce(0) { $0 + $1.count }) writes and \(sum(\.reads)) reads across \(Self.failovers) \
                failovers, \(sum(\.fromMemory)) from memory: \(sum(\.late)) more than 10 ms after the change, the \
                latest \(figures.map(\.oldest).max() ?? .zero); after the report \(sum(\.stale)) of \(sum(\.checks))
                """
            )
            #expect(sum(\.stale) == 0)
            #expect(sum(\.fromMemory) > sum(\.reads) / 2, "too few came from memory for this to show anything")
            for client in clients { await client.close() }
        }
    }
}

import EventBus
import EventBusRedis
import Synchronization

/// Locks, uncontended and contended.
struct Locks {
    private static let alone = 5000
    private static let contenders = 8
    private static let visits = 500

    private let makeClient: () throws -> RedisClient

    init(makeClient: @escaping () throws -> RedisClient) {
        self.makeClient = makeClient
    }

    func run() async throws {
        try await measureAlone()
        try await measureLine()
    }

    private func measureAlone() async throws {
        let lock = RedisLock(try makeClient())
        try await lock.withLock("warm-up", ttl: .seconds(10), wait: .zero) { _ in }
        var durations: [Duration] = []
        for _ in 0..<Self.alone {
            let start = ContinuousClock.now
            try await lock.withLock("alone", ttl: .seconds(10), wait: .zero) { _ in }
            durations.append(start.duration(to: .now))
        }
        RedisThroughput.report("lock-alone-p50", durations.percentile(0.5).nanoseconds / 1000, "µs")
        RedisThroughput.report("lock-alone-p99", durations.percentile(0.99).nanoseconds / 1000, "µs")
    }

    /// Measures contenders with separate connections, as processes would have them. Each queues again immediately.
    private func measureLine() async throws {
        let line = Line()
        let locks = try (0..<Self.contenders).map { _ in RedisLock(try makeClient()) }
        for lock in locks { try await lock.withLock("warm-up", ttl: .seconds(10), wait: .seconds(10)) { _ in } }
        let start = ContinuousClock.now
        try await withThrowingDiscardingTaskGroup { group in
            for lock in locks {
                group.addTask {
                    for _ in 0..<Self.visits {
                        try await lock.withLock("line", ttl: .seconds(10), wait: .seconds(60)) { _ in
                            line.enter()
                            line.leave()
                        }
                    }
                }
            }
        }
        let seconds = start.duration(to: .now) / .seconds(1)
        let handOvers = line.handOvers
        RedisThroughput.report("lock-line-rate", Double(handOvers.count) / seconds, "1/s")
        RedisThroughput.report("lock-line-p50", handOvers.percentile(0.5).nanoseconds / 1000, "µs")
        RedisThroughput.report("lock-line-p99", handOvers.percentile(0.99).nanoseconds / 1000, "µs")
    }
}

/// The times at which each holder left, and the durations until the next one entered.
private final class Line: Sendable {
    private struct State {
        var left: ContinuousClock.Instant?
        var handOvers: [Duration] = []
    }

    private let state = Mutex(State())

    var handOvers: [Duration] { state.withLock { $0.handOvers } }

    func enter() {
        let now = ContinuousClock.now
        state.withLock { state in
            if let left = state.left { state.handOvers.append(left.duration(to: now)) }
        }
    }

    func leave() {
        state.withLock { $0.left = .now }
    }
}

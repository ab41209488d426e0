import EventBus
import Glibc
import Testing

@testable import EventBusRedis

extension RedisTests {
    /// Many processes on one lock, some of which are killed or stopped while they hold it or wait for it.
    ///
    /// `EVENTBUS_TEST_FULL=1` makes it as large as the requirement: 8 processes with 1,000 tries each.
    @Suite(.timeLimit(.minutes(10)))
    struct LockFloodTests {
        private enum Role: String, CaseIterable {
            case holder
            case waiter
        }

        private enum Strike: String {
            case kill
            case stop
        }

        private static let ttl = Duration.milliseconds(800)
        private static let keys = LockKeys(prefix: "eventbus", resource: "shared")

        @Test func `processes that die or stop at any moment break neither exclusion nor the line`() async throws {
            let isFull = getenv("EVENTBUS_TEST_FULL") != nil
            let (slots, tries, stops) = isFull ? (8, 1000, 24) : (4, 60, 4)
            let server = try await RedisServer()
            let client = try server.client()
            var strikes: [(Strike, Role, slot: Int)] = []
            for slot in 0..<slots {
                for role in isFull ? Role.allCases : [Role.allCases[slot % 2]] { strikes.append((.kill, role, slot)) }
            }
            for stop in 0..<stops { strikes.append((.stop, Role.allCases[stop % 2], Int.random(in: 0..<slots))) }
            let plan = strikes.shuffled()
            let start = ContinuousClock.now

            try await withThrowingTaskGroup(of: Void.self) { group in
                for slot in 0..<slots {
                    let kills = plan.filter { $0.0 == .kill && $0.slot == slot }.count
                    let port = server.port
                    group.addTask {
                        for _ in 0..<kills {
                            await #expect(processExitsWith: .signal(SIGKILL)) {
                                [port = port as Int, slot = slot as Int] in
                                try await Self.work(port, slot: slot, tries: .max)
                            }
                        }
                        await #expect(processExitsWith: .success) {
                            [port = port as Int, slot = slot as Int, tries = tries as Int] in
                            try await Self.work(port, slot: slot, tries: tries)
                        }
                    }
                }
                group.addTask {
                    for (strike, role, slot) in plan { try await Self.strike(strike, role, slot, client) }
                    _ = try await client.send(RedisCommand("SET", ["over", "1"]))
                }
                try await group.waitForAll()
            }
            try await report(client, plan.map { "\($0.0) \($0.1)" }, slots, tries, start.duration(to: .now))
        }

        private func report(
            _ client: RedisClient,
            _ strikes: [String],
            _ slots: Int,
            _ tries: Int,
            _ duration: Duration
        ) async throws {
            func number(_ key: String) async throws -> Int {
                try await client.send(RedisCommand("GET", [.text(key)])).text.flatMap { Int($0) } ?? 0
            }
            let done = try await client.send(RedisCommand("HVALS", ["tries"])).array?.compactMap {
                $0.text.flatMap(Int.init)
            }
            let total = try #require(done).reduce(0, +)
            let (accepted, lost) = (try await number("accepted"), try await number("lost"))
            let samples = try await client.send(RedisCommand("LRANGE", ["hand-overs", 0, -1])).array ?? []
            let handOvers = samples.compactMap { $0.text.flatMap { Int($0) } }.sorted()
            func percentile(_ part: Double) -> Double {
                handOvers.isEmpty ? 0 : Double(handOvers[Int(Double(handOvers.count - 1) * part)]) / 1000
            }
            let counts = Dictionary(strikes.map { ($0, 1) }, uniquingKeysWith: +).sorted { $0.key < $1.key }
            print(
                """
                \(slots) processes, \(total) tries in \(duration): \(accepted) effects, \(lost) leases lost; \
                \(counts.map { "\($0.key) \($0.value)" }.joined(separator: ", ")); hand-over of \(handOvers.count): \
                p50 \(percentile(0.5)) ms, p99 \(percentile(0.99)) ms, longest \(percentile(1)) ms
                """
            )
            #expect(try await number("violations") == 0, "two valid leases at a time, or a fence that went back")
            #expect(try await number("counter") == accepted, "effects overlapped")
            #expect(try #require(done).count == slots && #require(done).allSatisfy { $0 >= tries })
            // Each try had its effect, or its lease was lost, or its process was killed: with two tries under way each.
            let killed = strikes.filter { $0.hasPrefix("kill") }.count
            #expect(total - accepted - lost <= killed * 2, "\(total) tries, \(accepted) effects, \(lost) losses")
            #expect(handOvers.count > total / 2)
        }

        // MARK: a worker

        private static func work(_ port: Int, slot: Int, tries: Int) async throws {
            let client = try RedisClient(
                RedisConfiguration(endpoint: .tcp(host: "127.0.0.1", port: port)),
                logger: .silent
            )
            let lock = RedisLock(client)
            let slot = RedisArgument.integer(Int64(slot))
            _ = try await client.send(RedisCommand("HSET", ["workers", slot, .text("\(getpid()) \(lock.process)")]))
            // Two of each process, so that processes have a line of their own too.
            try await withThrowingTaskGroup(of: Void.self) { group in
                for _ in 0..<2 {
                    group.addTask {
                        while true {
                            let done = try await client.send(RedisCommand("HGET", ["tries", slot])).text
                            if done.flatMap({ Int($0) }) ?? 0 >= tries,
                                try await client.send(RedisCommand("GET", ["over"])) != .null
                            {
                                return
                            }
                            _ = try await client.send(RedisCommand("HINCRBY", ["tries", slot, 1]))
                            try await tryOnce(lock, client)
                        }
                    }
                }
                try await group.waitForAll()
            }
        }

        private static func tryOnce(_ lock: RedisLock, _ client: RedisClient) async throws {
            do {
                try await lock.withLock("shared", ttl: ttl, wait: .seconds(60)) { lease in
                    try await FencedStore.effect(client, lease)
                }
            } catch let error as EventBusError where error.code != .lockTimedOut {
                // It was stopped past its lease, or for so long that its connection was given up.
                _ = try await client.send(RedisCommand("INCR", ["lost"]))
            }
        }

        // MARK: what befalls them

        /// Kills or stops the process of a slot at a moment at which the server says that it holds the lock, or waits.
        private static func strike(_ strike: Strike, _ role: Role, _ slot: Int, _ client: RedisClient) async throws {
            var isDone = false
            try await eventually("the process of slot \(slot) should be a \(role.rawValue), to \(strike.rawValue) it") {
                let worker = try await client.send(RedisCommand("HGET", ["workers", .integer(Int64(slot))])).text ?? ""
                let parts = worker.split(separator: " ")
                guard parts.count == 2, let pid = Int32(parts[0]), pid > 1 else { return false }
                // At any moment: it goes on for a while in between.
                try await Task.sleep(for: .microseconds(Int.random(in: 0...3000)))
                try await EventBusRedisTests.stop(pid)
                guard try await has(role, String(parts[1]), client) else {
                    signal(SIGCONT, to: pid)
                    return false
                }
                isDone = true
                switch strike {
                case .kill:
                    _ = try await client.send(RedisCommand("HDEL", ["workers", .integer(Int64(slot))]))
                    signal(SIGKILL, to: pid)
                case .stop:
                    // Past its time to live, while the others go on.
                    let before = try await client.send(RedisCommand("GET", ["accepted"])).text.flatMap { Int($0) } ?? 0
                    let end = ContinuousClock.now.advanced(by: ttl * 1.25)
                    try await eventually("the others should go on past a stopped \(role.rawValue)") {
                        let now = try await client.send(RedisCommand("GET", ["accepted"])).text.flatMap { Int($0) } ?? 0
                        return now > before && ContinuousClock.now > end
                    }
                    signal(SIGCONT, to: pid)
                }
                return true
            }
            #expect(isDone)
        }

        /// What the server says of a process.
        private static func has(_ role: Role, _ process: String, _ client: RedisClient) async throws -> Bool {
            switch role {
            case .holder:
                // Who was merely handed it does not hold it yet.
                let tokens =
                    try await client.send(
                        RedisCommand("MGET", [.text(keys.holder), .text(keys.base + ":h")])
                    ).array ?? []
                return tokens.first?.text?.hasPrefix(process) == true && tokens.first != tokens.last
            case .waiter:
                let line = try await client.send(RedisCommand("ZRANGE", [.text(keys.base + ":w"), 0, -1])).array ?? []
                return line.contains { $0.text?.hasPrefix(process) == true }
            }
        }
    }
}

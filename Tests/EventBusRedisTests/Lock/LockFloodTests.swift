import EventBus
import Glibc
import Testing

@testable import EventBusRedis

extension RedisTests {
    /// Many processes on one lock, some of which are killed or suspended while they hold it or wait for it.
    ///
    /// `EVENTBUS_TEST_FULL=1` runs the full size of the requirement: 8 processes with 1,000 tries each, and once more
    /// with Sentinel failovers in between.
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
            try await flood(server, server.client(), slots, tries, stops, roles: isFull ? Role.allCases : nil)
        }

        @Test(.enabled(if: getenv("EVENTBUS_TEST_FULL") != nil))
        func `after failovers in between, no effects overlap in the order of their fences`() async throws {
            let fleet = try await SentinelFleet()
            let locks = try RedisClient(fleet.configuration, logger: .silent)
            try await locks.ping()
            let count = Shared(0)
            let failovers = Task {
                while !Task.isCancelled {
                    let run = locks.serverRunID
                    try await fleet.failOver()
                    try await eventually("the other server should be the primary", within: .seconds(60)) {
                        _ = try? await locks.ping()
                        return locks.serverRunID != nil && locks.serverRunID != run
                    }
                    count.change { $0 += 1 }
                    // The replica has to follow before the next one.
                    try await fleet.replicaFollows()
                }
            }
            // The effects are on a server that stays.
            try await flood(try await RedisServer(), locks, 8, 1000, 8, roles: nil)
            failovers.cancel()
            _ = await failovers.result
            print("\(count.value) failovers")
            #expect(count.value > 2)
        }

        /// Runs processes with locks on the server of `locks` and effects on `store`.
        ///
        /// - Parameter roles: The roles in which each process is killed. Defaults to one of them for each process.
        private func flood(
            _ store: RedisServer,
            _ locks: RedisClient,
            _ slots: Int,
            _ tries: Int,
            _ stops: Int,
            roles: [Role]?
        ) async throws {
            let client = try store.client()
            var strikes: [(Strike, Role, slot: Int)] = []
            for slot in 0..<slots {
                for role in roles ?? [Role.allCases[slot % 2]] { strikes.append((.kill, role, slot)) }
            }
            for stop in 0..<stops { strikes.append((.stop, Role.allCases[stop % 2], Int.random(in: 0..<slots))) }
            strikes.shuffle()

            let start = ContinuousClock.now
            let uri = "\(locks.configuration)"
            var workers = try (0..<slots).map { try worker(store.port, uri, $0, tries) }
            for (strike, role, slot) in strikes {
                try await self.strike(strike, role, slot, workers[slot], client, locks)
                guard strike == .kill else { continue }
                workers[slot].end()
                workers[slot] = try worker(store.port, uri, slot, tries)
            }
            _ = try await client.send(RedisCommand("SET", ["over", "1"]))
            try await eventually("the processes should do their tries", within: .seconds(400)) {
                try await client.send(RedisCommand("SCARD", ["finished"])).integer == Int64(slots)
            }
            for worker in workers { worker.end() }
            let failures = try await client.send(RedisCommand("LRANGE", ["failures", 0, -1])).array ?? []
            #expect(failures.isEmpty, "\(failures.compactMap(\.text))")
            try await report(
                client,
                isFailedOver: locks.configuration.endpoint != client.configuration.endpoint,
                strikes.map { "\($0.0) \($0.1)" },
                slots,
                tries,
                start.duration(to: .now)
            )
        }

        /// Starts a process that runs ``work(_:slot:tries:)``: this program again, with its role in the environment. It
        /// is not an exit test, because each concurrent exit test takes a thread from the tests.
        private func worker(_ port: Int, _ uri: String, _ slot: Int, _ tries: Int) throws -> ChildProcess {
            let program = try #require(realpath("/proc/self/exe", nil))
            defer { free(program) }
            return try ChildProcess(
                [
                    "sh", "-c", #"exec "$@" >/dev/null 2>&1"#, "sh", String(cString: program), "--testing-library",
                    "swift-testing", "--filter", "LockFloodTests.*a worker of the flood",
                ],
                environment: ["EVENTBUS_TEST_FLOOD": "\(port) \(slot) \(tries) \(uri)"]
            )
        }

        @Test(.enabled(if: getenv("EVENTBUS_TEST_FLOOD") != nil))
        func `a worker of the flood`() async throws {
            let task = try #require(getenv("EVENTBUS_TEST_FLOOD").map { String(cString: $0) })
            let words = task.split(separator: " ")
            let numbers = words.prefix(3).compactMap { Int($0) }
            try #require(numbers.count == 3 && words.count == 4)
            let client = try RedisClient(
                RedisConfiguration(endpoint: .tcp(host: "127.0.0.1", port: numbers[0])),
                logger: .silent
            )
            var configuration = try RedisConfiguration(uri: String(words[3]))
            configuration.reconnect.maximum = .milliseconds(100)
            let locks = try RedisClient(configuration, logger: .silent)
            let slot = RedisArgument.integer(Int64(numbers[1]))
            do {
                try await Self.work(client, RedisLock(locks), slot, tries: numbers[2])
            } catch {
                _ = try await client.send(RedisCommand("RPUSH", ["failures", .text("\(error)")]))
            }
            _ = try await client.send(RedisCommand("SADD", ["finished", slot]))
        }

        private func report(
            _ client: RedisClient,
            isFailedOver: Bool,
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
            let overlaps = try await number("overlaps")
            #expect(try await number("violations") == 0, "two leases with one fence")
            // A failover may lose a grant. Its holder then overlaps with the next one, and the store refuses it.
            #expect(overlaps == 0 || isFailedOver, "two valid leases at a time, or a fence that went back")
            print("\(overlaps) effects refused because of a newer fence")
            #expect(try await number("counter") == accepted, "effects overlapped")
            #expect(try #require(done).count == slots && #require(done).allSatisfy { $0 >= tries })
            // Each try had its effect, or its lease was lost, or its process was killed, with two tries in progress per
            // process.
            let killed = strikes.filter { $0.hasPrefix("kill") }.count
            #expect(
                total - accepted - lost - overlaps <= killed * 2,
                "\(total) tries, \(accepted) effects, \(lost) losses, \(overlaps) refusals"
            )
            #expect(handOvers.count > total / 2)
        }

        // MARK: a worker

        /// Tries until it has made `tries` tries and no more processes are to be struck.
        private static func work(
            _ client: RedisClient,
            _ lock: RedisLock,
            _ slot: RedisArgument,
            tries: Int
        ) async throws {
            _ = try await client.send(RedisCommand("HSET", ["workers", slot, .text(lock.process)]))
            // Two of each process, so that processes have a local queue too.
            try await withThrowingTaskGroup(of: Void.self) { group in
                for _ in 0..<2 {
                    group.addTask {
                        while true {
                            let done = try await client.send(RedisCommand("HGET", ["tries", slot])).text
                            let isOver = try await client.send(RedisCommand("GET", ["over"])) != .null
                            if isOver, done.flatMap({ Int($0) }) ?? 0 >= tries { return }
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
                // It was suspended past its lease, or for so long that its connection was given up.
                _ = try await client.send(RedisCommand("INCR", ["lost"]))
            }
        }

        // MARK: what befalls them

        /// Kills or suspends a worker at a moment at which the server says that it holds the lock or waits.
        private func strike(
            _ strike: Strike,
            _ role: Role,
            _ slot: Int,
            _ worker: ChildProcess,
            _ client: RedisClient,
            _ locks: RedisClient
        ) async throws {
            let slot = RedisArgument.integer(Int64(slot))
            func accepted() async throws -> Int {
                try await client.send(RedisCommand("GET", ["accepted"])).text.flatMap { Int($0) } ?? 0
            }
            try await eventually("a worker should be a \(role.rawValue), to \(strike.rawValue) it") {
                // After a random number of replies, because the worker continues meanwhile.
                for _ in 0..<Int.random(in: 0...10) { try await client.ping() }
                let process = try await client.send(RedisCommand("HGET", ["workers", slot])).text
                guard let process else { return false }
                try await stop(worker.pid)
                // During a failover nobody knows.
                if (try? await Self.has(role, process, locks)) == true { return true }
                worker.signal(SIGCONT)
                return false
            }
            switch strike {
            case .kill:
                worker.signal(SIGKILL)
                _ = try await client.send(RedisCommand("HDEL", ["workers", slot]))
            case .stop:
                // Past its time to live, while the others continue.
                let before = try await accepted()
                let end = ContinuousClock.now.advanced(by: Self.ttl * 1.25)
                try await eventually("the others should go on past a stopped \(role.rawValue)") {
                    try await accepted() > before && ContinuousClock.now > end
                }
                worker.signal(SIGCONT)
            }
        }

        /// Returns whether a process has a role according to the server.
        private static func has(_ role: Role, _ process: String, _ client: RedisClient) async throws -> Bool {
            switch role {
            case .holder:
                // A waiter that was merely handed the lock does not hold it yet.
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

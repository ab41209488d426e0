import EventBus
import Testing

@testable import EventBusRedis

extension RedisTests {
    /// The behavior of a lock whose server answers too late or not at all.
    @Suite(.timeLimit(.minutes(3)))
    struct LockFaultTests {
        private let long = Duration.seconds(60)

        // MARK: a silent server

        @Test func `on a silent server a call ends with its wait, and a cancelled one at once`() async throws {
            let server = try await RedisServer()
            let other = try await RedisLock(server.client()).acquire("held", ttl: long, wait: .zero)
            // Only the wait ends a call of this lock.
            let lock = RedisLock(
                try server.client {
                    $0.commandTimeout = .seconds(600)
                    $0.heartbeat = .seconds(600)
                }
            )
            let line = LockKeys(prefix: "eventbus", resource: "held").base + ":w"
            let probe = try server.client()
            let ordinary = RedisLock(try server.client())
            try await ordinary.client.ping()
            // A waiter that is already in the queue and is cancelled there.
            let waiting = Task { try await lock.acquire("held", ttl: .seconds(60), wait: .seconds(60)) }
            try await eventually("it should stand in line") {
                try await probe.send(RedisCommand("ZCARD", [.text(line)])).integer == 1
            }
            server.pause()

            await #expect(throws: EventBusError.self) {
                _ = try await lock.acquire("free", ttl: .seconds(60), wait: .milliseconds(100))
            }

            waiting.cancel()
            await #expect(throws: CancellationError.self) { try await waiting.value }

            let asking = Task { try await lock.acquire("free", ttl: .seconds(60), wait: .seconds(60)) }
            asking.cancel()
            await #expect(throws: CancellationError.self) { try await asking.value }

            // Without a wait a call ends after the time of one command.
            await #expect(throws: EventBusError.self) {
                _ = try await ordinary.acquire("free", ttl: .seconds(60), wait: .zero)
            }

            server.resume()
            // All requests made meanwhile are executed and undone.
            let check = RedisLock(try server.client())
            try await eventually("nothing should be left behind") {
                guard let lease = try? await check.tryLock("free", ttl: .seconds(60)) else { return false }
                try await lease.release()
                return try await probe.send(RedisCommand("ZCARD", [.text(line)])).integer == 0
            }
            _ = other
        }

        @Test func `a wait in line that the server is silent for ends in time, and says that it was`() async throws {
            let server = try await RedisServer()
            let proxy = try RedisProxy(to: server.port)
            let holder = RedisLock(try server.client())
            let grant = try await holder.acquire("silent", ttl: long, wait: .zero)
            // Only the wait ends its call.
            let lock = RedisLock(
                try proxy.client {
                    $0.commandTimeout = .seconds(600)
                    $0.heartbeat = .seconds(600)
                }
            )
            let probe = try server.client()
            let line = LockKeys(prefix: "eventbus", resource: "silent").base + ":w"
            let waiting = Task { try await lock.acquire("silent", ttl: .seconds(60), wait: .seconds(1)) }
            try await eventually("it should stand in line") {
                try await probe.send(RedisCommand("ZCARD", [.text(line)])).integer == 1
            }
            proxy.close()
            await #expect {
                try await waiting.value
            } throws: {
                ($0 as? EventBusError)?.code == .unavailable
            }
            proxy.open()
            try await eventually("it should leave the line") {
                try await probe.send(RedisCommand("ZCARD", [.text(line)])).integer == 0
            }
            try await holder.release(grant)
        }

        @Test func `a waiter that does not learn of its grant asks again, though it is not first here`() async throws {
            let server = try await RedisServer()
            let answers = Valve()
            let asked = Shared((token: "nobody's", count: 0))
            // Messages pass, and replies to commands are held while the valve is closed.
            let proxy = try RedisProxy(to: server.port) { direction, bytes in
                let text = String(decoding: bytes, as: UTF8.self)
                if direction == .request {
                    asked.change { asked in asked.count += text.contains(asked.token) ? 1 : 0 }
                } else if !text.contains("lock-wake") {
                    answers.pass()
                }
            }
            let holder = RedisLock(try server.client())
            let grant = try await holder.acquire("lost", ttl: long, wait: .zero)
            let lock = RedisLock(
                try proxy.client {
                    $0.commandTimeout = .milliseconds(200)
                    // The loss of the connection would make everyone ask again.
                    $0.heartbeat = .seconds(60)
                }
            )
            let probe = try server.client()
            let keys = LockKeys(prefix: "eventbus", resource: "lost")
            func tokens() async throws -> [String] {
                try await probe.send(RedisCommand("ZRANGE", [.text(keys.base + ":w"), 0, -1])).array?
                    .compactMap(\.text) ?? []
            }
            let first = Task { try await lock.acquire("lost", ttl: .seconds(60), wait: .seconds(40)) }
            try await eventually("the first should stand in line") { try await tokens().count == 1 }
            let second = Task { try await lock.acquire("lost", ttl: .seconds(60), wait: .seconds(40)) }
            try await eventually("the second should stand in line") { try await tokens().count == 2 }
            // On the server the second one is first.
            let token = try await tokens()[1]
            _ = try await probe.send(RedisCommand("ZADD", [.text(keys.base + ":w"), 1, .text(token)]))

            // It is woken, takes the lock, and never gets the reply.
            answers.close()
            asked.change { $0.token = token }
            try await holder.release(grant)
            try await eventually("it should ask again") { asked.value.count >= 2 }
            #expect(try await probe.send(RedisCommand("GET", [.text(keys.holder)])).text == token)
            answers.open()
            try await lock.release(second.value)
            try await lock.release(first.value)
        }

        // MARK: a black hole while the lock is held

        @Test func `a holder in a black hole learns of the loss before another is granted`() async throws {
            let server = try await RedisServer()
            let proxy = try RedisProxy(to: server.port)
            let lock = RedisLock(try proxy.client())
            let (entered, stopped) = (Signal(), Shared<ContinuousClock.Instant?>(nil))
            let fence = Shared<UInt64>(0)
            let body = Task {
                try await lock.withLock("hole", ttl: .milliseconds(600), wait: .zero) { lease in
                    let token = lease.fencingToken
                    fence.change { $0 = token }
                    entered.raise()
                    do {
                        try await Signal().wait()
                    } catch {
                        let now = ContinuousClock.now
                        stopped.change { $0 = now }
                        throw error
                    }
                }
            }
            try await entered.wait()
            proxy.close()
            let other = RedisLock(try server.client())
            let grant = try await other.acquire("hole", ttl: long, wait: .seconds(30))
            let granted = ContinuousClock.now
            let told = try #require(stopped.value, "the holder did not know that its lease was over")
            #expect(told <= granted)
            #expect(grant.fencingToken > fence.value)
            await #expect {
                try await body.value
            } throws: {
                ($0 as? EventBusError).map { [.leaseExpired, .lockLost].contains($0.code) } == true
            }
            proxy.open()
            // Its earlier requests arrive now, and do not affect the current holder.
            try await eventually("the holder's client should be back") { (try? await lock.client.ping()) != nil }
            _ = try await other.renew(grant)
            try await other.release(grant)
        }

        // MARK: who is handed the lock and does not take it

        /// A driver that runs the scripts directly, in the name of processes that do not exist.
        private struct Hands {
            let server: RedisServer
            let client: RedisClient
            let keys = LockKeys(prefix: "eventbus", resource: "by hand")

            init() async throws {
                server = try await RedisServer()
                client = try server.client()
            }

            func acquire(_ token: String, waits: Bool = true) async throws -> RedisValue {
                try await client.run(
                    LockScripts.acquire,
                    keys: keys.all,
                    [.text(token), 60_000, waits ? "1" : "0", 50, "wake:", 60_000, "-"],
                    isIdempotent: true
                )
            }

            func run(_ script: RedisScript, _ token: String, handOverTime: Int64 = 60_000) async throws {
                _ = try await client.run(
                    script,
                    keys: keys.all,
                    [.text(token), .integer(handOverTime), "wake:"],
                    isIdempotent: true
                )
            }

            var holder: String? {
                get async throws { try await client.send(RedisCommand("GET", [.text(keys.holder)])).text }
            }
        }

        /// Returns waiters of two processes in the queue. The first was handed the lock and has not taken it in time.
        private func late() async throws -> Hands {
            let hands = try await Hands()
            for token in ["h.1", "p.1", "p.2", "q.1"] { _ = try await hands.acquire(token) }
            try await hands.run(LockScripts.release, "h.1", handOverTime: 50)
            try await eventually("the hand-over should run out") { try await hands.holder == nil }
            return hands
        }

        @Test(arguments: [true, false])
        func `who gives up after its hand-over ran out does not cost its process's others their place`(
            leaves: Bool
        ) async throws {
            let hands = try await late()
            try await hands.run(leaves ? LockScripts.leave : LockScripts.decline, "p.1")
            // The lock immediately goes to the next waiter, which belongs to the same process.
            #expect(try await hands.holder == "p.2")
            #expect(try await hands.acquire("q.1").array?.first == .integer(0))
        }

        @Test func `who comes late to its hand-over gets the lock if nobody else came`() async throws {
            let hands = try await late()
            #expect(try await hands.acquire("p.1").array?.first == .integer(1))
            #expect(try await hands.holder == "p.1")
        }

        @Test func `who does not come to its hand-over loses its process's places to the one that asks`() async throws {
            let hands = try await late()
            #expect(try await hands.acquire("q.1").array?.first == .integer(1))
        }
    }
}

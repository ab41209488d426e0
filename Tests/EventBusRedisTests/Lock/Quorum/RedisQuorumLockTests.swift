import EventBus
import EventBusTesting
import Glibc
import Testing

@testable import EventBusRedis

extension RedisTests {
    @Suite("A lock over three servers", .timeLimit(.minutes(5)))
    struct RedisQuorumLockTests {
        private let long = Duration.seconds(60)

        /// Three servers, each behind a proxy that can drop all data.
        private struct Fleet {
            let servers: [RedisServer]
            let proxies: [RedisProxy]
            let direct: [RedisClient]

            init() async throws {
                servers = [try await RedisServer(), try await RedisServer(), try await RedisServer()]
                proxies = try servers.map { try RedisProxy(to: $0.port) }
                direct = try servers.map { try $0.client() }
            }

            func lock(_ change: (inout RedisConfiguration) -> Void = { _ in }) throws -> RedisQuorumLock {
                RedisQuorumLock(try proxies.map { try $0.client(change) })
            }

            func get(_ key: String, _ server: Int) async throws -> String? {
                try await direct[server].send(RedisCommand("GET", [.text(key)])).text
            }

            /// Acquires `lock` on all servers, so that each knows the fence. On a busy machine one may answer too late
            /// and would not be part of the grant.
            func grantEverywhere(by lock: RedisQuorumLock, ttl: Duration) async throws -> LockGrant {
                let keys = QuorumKeys(prefix: "eventbus", resource: "r")
                for _ in 0..<10 {
                    let grant = try await lock.acquire("r", ttl: ttl, wait: .seconds(5))
                    let isEverywhere: Void? = try? await eventually("all should hold it", within: .seconds(2)) {
                        for index in 0..<3 {
                            let fence = try await get(keys.fence, index)
                            guard try await get(keys.holder, index) != nil, fence == "\(grant.fencingToken)" else {
                                return false
                            }
                        }
                        return true
                    }
                    if isEverywhere != nil { return grant }
                    try await release(grant, by: lock)
                }
                throw EventBusError(.unavailable, "of ten grants none was by all servers")
            }

            /// Releases a grant. If too few servers answered in time, as on a busy machine, it asks again, and finds
            /// the grant released or not.
            func release(_ grant: LockGrant, by lock: RedisQuorumLock) async throws {
                var isUnknown = false
                for _ in 0..<10 {
                    do {
                        return try await lock.release(grant)
                    } catch let error as EventBusError where error.code == .indeterminate {
                        isUnknown = true
                    } catch let error as EventBusError where error.code == .lockNotOwned && isUnknown {
                        return
                    }
                }
                throw EventBusError(.unavailable, "ten times too few servers answered to a release")
            }

            /// Waits until the servers hold only fences and the processes last seen alive.
            func expectNothingHeld(sourceLocation: SourceLocation = #_sourceLocation) async throws {
                for (index, client) in direct.enumerated() {
                    try await eventually("server \(index) should hold nothing", sourceLocation: sourceLocation) {
                        let keys = try await client.send(RedisCommand("KEYS", ["*"])).array?.compactMap(\.text) ?? []
                        return keys.allSatisfy { $0.hasSuffix(":f") || $0.hasSuffix(":c") }
                    }
                }
            }
        }

        private static let shared = Task {
            [try await RedisServer(), try await RedisServer(), try await RedisServer()]
        }

        private static let locks = RoundRobin {
            RedisQuorumLock(try await shared.value.map { try $0.client() })
        }

        @Test(
            "The lock follows its contract",
            arguments: LockConformance(ttl: .milliseconds(600)) { try await locks.next() }.checks
        )
        func conformance(check: ConformanceCheck) async throws {
            try await check.run()
        }

        // MARK: servers that are away

        @Test(arguments: 0..<3, [true, false])
        func `with a minority down, or in a black hole, it works`(away: Int, isDown: Bool) async throws {
            let fleet = try await Fleet()
            let lock = try fleet.lock { $0.commandTimeout = .seconds(1) }
            if isDown { fleet.servers[away].kill() } else { fleet.proxies[away].close() }
            var fence: UInt64 = 0
            for _ in 0..<3 {
                let next = try await lock.withLock("r", ttl: .seconds(5), wait: .seconds(5)) { lease in
                    try lease.check()
                    return lease.fencingToken
                }
                #expect(next > fence)
                fence = next
            }
            // Renewals, exclusion and hand-over, too.
            let grant = try await lock.acquire("r", ttl: .seconds(60), wait: .seconds(5))
            #expect(try await lock.renew(grant) > grant.validUntil)
            let waiting = Task { try await lock.acquire("r", ttl: .seconds(60), wait: .seconds(20)) }
            await #expect {
                _ = try await lock.acquire("r", ttl: .seconds(60), wait: .milliseconds(50))
            } throws: {
                ($0 as? EventBusError)?.code == .lockTimedOut
            }
            try await lock.release(grant)
            try await lock.release(waiting.value)
        }

        @Test func `one server that is listed twice is refused, by its address and by what it says of itself`()
            async throws
        {
            let (a, b) = (try await RedisServer(), try await RedisServer())
            let byAddress = RedisQuorumLock(try [a, a, b].map { try $0.client() })
            let clients = [try a.client(), try a.client { $0.endpoint = .unix(path: a.socketPath) }, try b.client()]
            // A server tells its identity when it is connected. A majority without it may grant a lock before.
            for client in clients { try await client.ping() }
            let byIdentity = RedisQuorumLock(clients)
            for lock in [byAddress, byIdentity] {
                for wait in [Duration.zero, .seconds(5)] {
                    let error = await #expect(throws: EventBusError.self) {
                        _ = try await lock.acquire("sku", ttl: .seconds(60), wait: wait)
                    }
                    #expect(error?.code == .invalidConfiguration)
                }
            }
            try await eventually("nothing should be left behind") {
                let keys = try await a.client().send(
                    RedisCommand("EXISTS", [.text(QuorumKeys(prefix: "eventbus", resource: "sku").holder)])
                )
                return keys.integer == 0
            }
        }

        @Test func `a server that says nothing is not waited for, so that short leases work as well`() async throws {
            let fleet = try await Fleet()
            let lock = try fleet.lock {
                $0.commandTimeout = .seconds(600)
                $0.heartbeat = .seconds(600)
            }
            try await lock.withLock("r") { _ in }
            fleet.proxies[2].replies.close()
            // Several attempts, because the machine may be busy.
            try await eventually("a short lease should be granted and released") {
                guard let grant = try? await lock.acquire("r", ttl: .milliseconds(40), wait: .zero) else {
                    return false
                }
                try? await lock.release(grant)
                return true
            }
        }

        @Test(arguments: [true, false])
        func `with a majority down it is unavailable, within the deadline`(isDown: Bool) async throws {
            let fleet = try await Fleet()
            let lock = try fleet.lock { $0.commandTimeout = .seconds(1) }
            try await lock.withLock("r") { _ in }
            for index in 0..<2 { if isDown { fleet.servers[index].kill() } else { fleet.proxies[index].close() } }
            for wait in [Duration.zero, .milliseconds(800), .seconds(2)] {
                await #expect {
                    _ = try await lock.acquire("r", ttl: .seconds(60), wait: wait)
                } throws: {
                    ($0 as? EventBusError)?.code == .unavailable
                }
            }
            // The requests to the third server were undone meanwhile.
            try await eventually("the third should hold nothing") {
                let keys = try await fleet.direct[2].send(RedisCommand("KEYS", ["*"])).array?.compactMap(\.text) ?? []
                return keys.allSatisfy { $0.hasSuffix(":f") }
            }
        }

        @Test func `a holder that loses the majority is told`() async throws {
            let fleet = try await Fleet()
            let lock = try fleet.lock { $0.commandTimeout = .milliseconds(300) }
            let entered = Signal()
            let body = Task {
                try await lock.withLock("r", ttl: .seconds(1), wait: .zero) { _ in
                    entered.raise()
                    try await Signal().wait()
                }
            }
            try await entered.wait()
            fleet.proxies[0].close()
            fleet.proxies[1].close()
            await #expect {
                try await body.value
            } throws: {
                ($0 as? EventBusError).map { [.lockLost, .leaseExpired].contains($0.code) } == true
            }
        }

        @Test func `a waiter whose line's server goes away is granted over the others`() async throws {
            let fleet = try await Fleet()
            let holder = try fleet.lock()
            let waiter = try fleet.lock()
            let grant = try await holder.acquire("r", ttl: long, wait: .seconds(5))
            let waiting = Task { try await waiter.acquire("r", ttl: .seconds(60), wait: .seconds(20)) }
            let line = LockKeys(prefix: "eventbus:turn", resource: "r").base + ":w"
            try await eventually("it should stand in line") {
                try await fleet.direct[0].send(RedisCommand("ZCARD", [.text(line)])).integer == 1
            }
            fleet.servers[0].kill()
            fleet.proxies[0].hangUp()
            try await fleet.release(grant, by: holder)
            let next = try await waiting.value
            #expect(next.fencingToken > grant.fencingToken)
            try await fleet.release(next, by: waiter)
        }

        // MARK: the fence

        /// A fence ahead of the clock, so that only memory can keep the next one from going back.
        private let ahead: UInt64 = 8_000_000_000_000_000

        @Test func `the fence never goes back though the majority changes`() async throws {
            let fleet = try await Fleet()
            let keys = QuorumKeys(prefix: "eventbus", resource: "r")
            // Only the first server knows it. With the third one unreachable it has to be asked.
            _ = try await fleet.direct[0].send(RedisCommand("SET", [.text(keys.fence), .text("\(ahead)")]))
            fleet.proxies[2].close()
            let first = try fleet.lock { $0.commandTimeout = .milliseconds(500) }
            let grant = try await first.acquire("r", ttl: long, wait: .seconds(5))
            #expect(grant.fencingToken == ahead + 1)
            // Written back before the grant, because the second server has not received it otherwise.
            #expect(try await fleet.get(keys.fence, 1) == "\(ahead + 1)")
            try await first.release(grant)

            fleet.proxies[0].close()
            fleet.proxies[2].open()
            let second = try fleet.lock { $0.commandTimeout = .milliseconds(500) }
            let next = try await second.acquire("r", ttl: long, wait: .seconds(5))
            #expect(next.fencingToken == ahead + 2)
            try await second.release(next)
        }

        @Test(arguments: 0..<3)
        func `the fence never goes back though a server has restarted empty`(wiped: Int) async throws {
            let fleet = try await Fleet()
            let keys = QuorumKeys(prefix: "eventbus", resource: "r")
            for client in fleet.direct {
                _ = try await client.send(RedisCommand("SET", [.text(keys.fence), .text("\(ahead)")]))
            }
            let lock = try fleet.lock { $0.commandTimeout = .milliseconds(500) }
            let grant = try await fleet.grantEverywhere(by: lock, ttl: long)
            #expect(grant.fencingToken > ahead)
            try await fleet.release(grant, by: lock)
            fleet.servers[wiped].kill()
            fleet.proxies[wiped].hangUp()
            try await fleet.servers[wiped].start()
            // The wiped server and one of the others.
            let away = (wiped + 1) % 3
            fleet.proxies[away].close()
            let other = try fleet.lock { $0.commandTimeout = .milliseconds(500) }
            let next = try await other.acquire("r", ttl: long, wait: .seconds(5))
            #expect(next.fencingToken > grant.fencingToken)
            try await fleet.release(next, by: other)
        }

        // MARK: time

        @Test func `a grant whose answers come later than its time to live is not given`() async throws {
            let fleet = try await Fleet()
            let slow = try fleet.servers.map { server in
                // Each of the two questions arrives in time, but together they take longer than the time to live.
                try RedisProxy(to: server.port) { direction, bytes in
                    let text = String(decoding: bytes, as: UTF8.self)
                    guard direction == .request, text.contains("quorum") else { return }
                    usleep(60_000)
                }
            }
            let lock = RedisQuorumLock(try slow.map { try $0.client() })
            // Their connections are established.
            try await lock.withLock("r", ttl: .seconds(10)) { _ in }
            await #expect {
                _ = try await lock.acquire("r", ttl: .milliseconds(100), wait: .milliseconds(600))
            } throws: {
                ($0 as? EventBusError)?.code == .unavailable
            }
            try await fleet.expectNothingHeld()
            // The same servers grant a longer lease.
            let grant = try await lock.acquire("r", ttl: .seconds(10), wait: .seconds(5))
            // It has a margin of 102 ms, and the two questions took 120 ms. On a busy machine less is left.
            #expect(lock.clock.now.duration(to: grant.validUntil) < .milliseconds(9790), "the time it took counts")
            try await lock.release(grant)
        }

        // MARK: giving back

        @Test func `a release reaches every server, also one that did not answer in time`() async throws {
            let fleet = try await Fleet()
            let lock = try fleet.lock { $0.commandTimeout = .milliseconds(300) }
            let keys = QuorumKeys(prefix: "eventbus", resource: "r")
            let grant = try await fleet.grantEverywhere(by: lock, ttl: long)
            fleet.proxies[2].close()
            try await lock.release(grant)
            #expect(try await fleet.get(keys.holder, 2) != nil)
            fleet.proxies[2].open()
            try await fleet.expectNothingHeld()
        }

        @Test func `an attempt that failed is taken back everywhere, also where its answer was lost`() async throws {
            let fleet = try await Fleet()
            let lock = try fleet.lock { $0.commandTimeout = .milliseconds(300) }
            try await lock.withLock("r") { _ in }
            // Two servers that execute and never answer, so that there is no majority.
            fleet.proxies[1].replies.close()
            fleet.proxies[2].replies.close()
            await #expect {
                _ = try await lock.acquire("r", ttl: .seconds(60), wait: .zero)
            } throws: {
                ($0 as? EventBusError)?.code == .unavailable
            }
            fleet.proxies[1].open()
            fleet.proxies[2].open()
            try await fleet.expectNothingHeld()
        }

        @Test func `a grant of another lock is neither renewed nor released`() async throws {
            let lock = try await Self.locks.next()
            for owner in ["x", "0:0", "7:0:abc", "-1:0:abc", ""] {
                let grant = LockGrant(
                    resource: "r",
                    owner: owner,
                    fencingToken: 1,
                    ttl: .seconds(1),
                    validUntil: lock.clock.now
                )
                await #expect {
                    _ = try await lock.renew(grant)
                } throws: {
                    ($0 as? EventBusError)?.code == .lockNotOwned
                }
                lock.abandon(grant)
            }
        }
    }
}

import EventBus
import Testing

@testable import EventBusRedis

extension RedisTests {
    @Suite(.timeLimit(.minutes(5)))
    struct LockCancellationTests {
        /// A checkpoint that delays the piece with a certain number between a client and its server.
        private final class Checkpoint: Sendable {
            let reached = Signal()
            let valve = Valve(isOpen: false)
            private let number: Int
            private let seen = Locked(0)

            init(_ number: Int) {
                self.number = number
            }

            func pass() {
                let isHere = seen.withLock { seen in
                    seen += 1
                    return seen == number
                }
                guard isHere else { return }
                reached.raise()
                valve.pass()
            }
        }

        enum Scenario: String, CaseIterable {
            case free = "a free lock is acquired and released"
            case contended = "a lock is waited for, handed over and released"
            case quorum = "a free lock on three servers is acquired and released"
        }

        @Test(arguments: Scenario.allCases)
        func `a call that is cancelled between any command and its reply leaves nothing behind`(
            scenario: Scenario
        ) async throws {
            let servers = [try await RedisServer(), try await RedisServer(), try await RedisServer()]
            let direct = try servers.map { try $0.client() }
            var points = 0
            // Until there is nothing left to delay, which means that the call has completed.
            for number in 1...200 {
                let checkpoint = Checkpoint(number)
                let proxies = try servers.map { try RedisProxy(to: $0.port) { _, _ in checkpoint.pass() } }
                defer { checkpoint.valve.open() }
                let clients = try proxies.map { try $0.client { $0.commandTimeout = .milliseconds(300) } }
                let lock: any DistributedLock =
                    scenario == .quorum ? RedisQuorumLock(clients) : RedisLock(clients[0])
                let other: any DistributedLock =
                    scenario == .quorum ? RedisQuorumLock(direct) : RedisLock(direct[0])

                let grant: LockGrant? =
                    scenario == .contended ? try await other.acquire("r", ttl: .seconds(60), wait: .zero) : nil
                let isOver = Signal()
                let call = Task {
                    defer { isOver.raise() }
                    try await lock.withLock("r", ttl: .seconds(60), wait: .seconds(30)) { _ in }
                }
                if let grant {
                    let line = LockKeys(prefix: "eventbus", resource: "r").base + ":w"
                    try await eventually("it should stand in line, or be held up") {
                        if checkpoint.reached.isRaised { return true }
                        return try await direct[0].send(RedisCommand("ZCARD", [.text(line)])).integer == 1
                    }
                    try await other.release(grant)
                }
                try await eventually("the call should be held up, or be over") {
                    checkpoint.reached.isRaised || isOver.isRaised
                }
                guard checkpoint.reached.isRaised else {
                    try await call.value
                    break
                }
                points += 1
                call.cancel()
                // It ends although the piece is still delayed. The release is shielded: it may take the time of one
                // command and be repeated during the grace period.
                _ = await call.result
                checkpoint.valve.open()
                try await expectNothingLeft(other, direct, "after point \(number) of '\(scenario.rawValue)'")
            }
            print("\(scenario.rawValue): cancelled at \(points) points")
            #expect(points > (scenario == .free ? 6 : 12) && points < 200)
        }

        private func expectNothingLeft(
            _ lock: any DistributedLock,
            _ clients: [RedisClient],
            _ when: String
        ) async throws {
            try await eventually("the lock should be free \(when)") {
                guard let lease = try await lock.tryLock("r", ttl: .seconds(60)) else { return false }
                try await lease.release()
                return true
            }
            for client in clients {
                try await eventually("nothing but fences should be left \(when)") {
                    let keys = try await client.send(RedisCommand("KEYS", ["*"])).array?.compactMap(\.text) ?? []
                    return keys.allSatisfy { $0.hasSuffix(":f") }
                }
            }
        }
    }
}

import EventBus
import EventBusInMemory
import EventBusTesting
import Glibc
import Testing

@testable import EventBusRedis

extension RedisTests {
    /// A cluster under load, while slots are moved and a primary is killed.
    ///
    /// `EVENTBUS_TEST_FULL=1` moves more slots, and checks the contracts on a cluster too.
    @Suite(.timeLimit(.minutes(5)))
    struct ClusterChangeTests {
        private static let isFull = getenv("EVENTBUS_TEST_FULL") != nil

        private struct Placed: Event {
            static let topic: Topic = "test.placed"
            var number: Int
        }

        /// An inbox on the cluster that counts the recorded events.
        private struct CountingInbox: Inbox {
            let base: RedisInbox
            let count = Shared(0)

            func begin(_ key: InboxKey, lease: Duration) async throws -> InboxDecision {
                try await base.begin(key, lease: lease)
            }

            func renew(_ claim: InboxClaim, lease: Duration) async throws {
                try await base.renew(claim, lease: lease)
            }

            func complete(_ claim: InboxClaim, retention: Duration) async throws {
                try await base.complete(claim, retention: retention)
                count.change { $0 += 1 }
            }

            func abandon(_ claim: InboxClaim) async throws { try await base.abandon(claim) }
        }

        /// A subscription with an inbox on the cluster, and its effects.
        private struct Orders {
            let bus = EventBus(transport: .inMemory(InMemoryBroker()), logger: .silent)
            let inbox: CountingInbox
            let effects = Shared<[Int: Int]>([:])

            init(_ fleet: ClusterFleet) throws {
                inbox = CountingInbox(base: RedisInbox(try fleet.client { $0.commandTimeout = .seconds(2) }))
                let options = SubscriptionOptions(
                    concurrency: 16,
                    retry: RetryPolicy(maximumAttempts: 2, initial: .milliseconds(10)),
                    inbox: inbox
                )
                let effects = effects
                bus.subscribe(to: Placed.self, group: "g", name: "orders", options: options) { event, _ in
                    effects.change { $0[event.number, default: 0] += 1 }
                }
            }

            /// Publishes each event twice, so that the inbox has something to suppress.
            func publish(_ numbers: Range<Int>) async throws {
                for number in numbers {
                    let options = PublishOptions(id: EventID("e-\(number)"))
                    for _ in 0..<2 { try await bus.publish(Placed(number: number), options: options) }
                }
            }

            /// Checks that `count` events had one effect each and are recorded.
            func expect(_ count: Int) async throws {
                try await eventually("\(count) events should be recorded", within: .seconds(60)) {
                    inbox.count.value >= count
                }
                #expect(effects.value.count == count)
                #expect(effects.value.values.allSatisfy { $0 == 1 })
                #expect(try await bus.deadLetters(of: "g").count() == 0)
            }
        }

        @Test func `while slots are moved, locks exclude, events have one effect each, and no value is stale`()
            async throws
        {
            let fleet = try await ClusterFleet()
            let (load, orders) = (try ClusterLoad(fleet), try Orders(fleet))
            let (rounds, others) = Self.isFull ? (10, 150) : (3, 10)
            try await orders.bus.withRunning {
                try await load.run {
                    for round in 0..<rounds {
                        async let publishing: Void = orders.publish(round * 300..<(round + 1) * 300)
                        let slots = (0..<SlotMap.slotCount).shuffled().prefix(others)
                        for slot in Set(load.slots + slots) { try await fleet.move(slot) }
                        try await publishing
                    }
                    try await orders.expect(rounds * 300)
                    let before = load.acquisitions
                    try await eventually("all locks should go on") {
                        for slot in load.slots { try await fleet.claimedOwner(of: slot) }
                        return zip(load.acquisitions, before).allSatisfy { $0 > $1 }
                    }
                }
            }
            #expect(load.problems == [])
            #expect(load.reads.allSatisfy { $0 > 0 })
            let (moved, asked) = (try fleet.count(of: "MOVED"), try fleet.count(of: "ASK"))
            #expect(moved > 0 && asked > 0, "\(moved) commands were redirected, \(asked) while their slots moved")
        }

        @Test
        func `after a primary was killed its replica serves, fences grow, and each event has one effect`()
            async throws
        {
            let fleet = try await ClusterFleet(hasReplicas: true)
            let (load, orders) = (try ClusterLoad(fleet), try Orders(fleet))
            try await orders.bus.withRunning {
                try await load.run {
                    try await orders.publish(0..<200)
                    try await orders.expect(200)
                    // A failover may lose what its replica has not received.
                    try await fleet.awaitReplication(of: 0)
                    fleet.servers[0].kill()
                    try await orders.publish(200..<400)
                    try await eventually("the replica should be the primary", within: .seconds(60)) {
                        (try? await fleet.owner(of: 0)) == 3
                    }
                    try await orders.expect(400)
                    let before = (load.acquisitions, load.reads)
                    try await eventually("all locks and entries should be in use again") {
                        zip(load.acquisitions, before.0).allSatisfy { $0 > $1 }
                            && zip(load.reads, before.1).allSatisfy { $0 > $1 }
                    }
                }
            }
            // The last grants and writes before the failover may be lost, but a fence tells which holder came first.
            #expect(!load.problems.contains(.fenceDidNotGrow))
        }

        private static let shared = Task { try await ClusterFleet() }
        private static let exclusiveLocks = RoundRobin { try await RedisLock(shared.value.client()) }
        private static let sharedLocks = RoundRobin { try await RedisSharedLock(shared.value.client()) }
        private static let inboxes = RoundRobin { try await RedisInbox(shared.value.client()) }
        private static let limiters = RoundRobin { try await RedisRateLimiter(shared.value.client()) }

        @Test(
            .enabled(if: isFull),
            arguments: LockConformance(ttl: .milliseconds(600)) { try await exclusiveLocks.next() }.checks
                + SharedLockConformance(ttl: .milliseconds(600)) { try await sharedLocks.next() }.checks
                + InboxConformance { try await inboxes.next() }.checks
                + RateLimiterConformance { try await limiters.next() }.checks
        )
        func `on a cluster, locks, inboxes and rate limiters follow their contracts`(check: ConformanceCheck)
            async throws
        {
            try await check.run()
        }
    }
}

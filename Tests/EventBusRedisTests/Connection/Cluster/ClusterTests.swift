import EventBus
import EventBusTesting
import Glibc
import Testing

@testable import EventBusRedis

extension RedisTests {
    @Suite(.timeLimit(.minutes(2)))
    struct ClusterTests {
        /// A cluster of three primaries that tests share which change nothing about it.
        private static let shared = Task { try await ClusterFleet() }

        private static func inboxKey(_ name: String) -> InboxKey {
            InboxKey(topic: "a.b", eventID: EventID(), subscription: "g.\(name)")
        }

        /// Returns a name for which `owner` serves the lock.
        private static func resource(of owner: Int, _ fleet: ClusterFleet) async throws -> String {
            for number in 0..<1000 {
                let name = "r-\(EventID())-\(number)"
                if try await fleet.owner(of: HashSlot.of(LockKeys(prefix: "eventbus", resource: name).holder.utf8))
                    == owner
                {
                    return name
                }
            }
            throw EventBusError(.unavailable, "no name found")
        }

        @Test func `locks, inboxes, caches and rate limiters work for the keys of all nodes`() async throws {
            let fleet = try await Self.shared.value
            let client = try fleet.client()
            let (lock, inbox, cache) = (RedisLock(client), RedisInbox(client), RedisCache(client))
            let (limiter, shared) = (RedisRateLimiter(client), RedisSharedLock(client))
            for number in 0..<30 {
                let name = "n-\(number)"
                try await lock.withLock(name) { lease in
                    try lease.check()
                    let refused = await #expect(throws: EventBusError.self) {
                        _ = try await RedisLock(client).acquire(name, ttl: .seconds(60), wait: .zero)
                    }
                    #expect(refused?.code == .lockTimedOut)
                }
                try await shared.withPermit(name, limit: 2) { _ in }
                let key = Self.inboxKey(name)
                guard case .new(let claim) = try await inbox.begin(key, lease: .seconds(30)) else {
                    Issue.record("a new event was claimed already")
                    return
                }
                try await inbox.complete(claim, retention: .seconds(30))
                #expect(try await inbox.begin(key, lease: .seconds(30)) == .completed)
                #expect(try await limiter.request(name, limit: RateLimit(1, per: .seconds(60))).isGranted)
                #expect(try await !limiter.request(name, limit: RateLimit(1, per: .seconds(60))).isGranted)
            }
            let names = (0..<30).map { "k-\($0)" }
            for expected in [1, 1] {
                let values = try await cache.values(for: names, as: Int.self) { missing in
                    Dictionary(uniqueKeysWithValues: missing.map { ($0, 1) })
                }
                #expect(values.count == 30 && values.values.allSatisfy { $0 == expected })
            }
            try await cache.set(2, for: "k-3")
            let other = RedisCache(try fleet.client())
            #expect(try await other.value(for: "k-3", as: Int.self) { 3 } == 2)
            try await cache.remove(names)
            #expect(try await other.value(for: "k-3", as: Int.self) { 3 } == 3)
            var sizes = 0
            for admin in fleet.admins where try await admin.send("DBSIZE").integer ?? 0 > 0 { sizes += 1 }
            #expect(sizes == 3)
        }

        @Test func `holders are listed from all nodes, and health is ready`() async throws {
            let fleet = try await Self.shared.value
            let client = try fleet.client()
            let lock = RedisLock(client, prefix: "listed")
            var grants: [LockGrant] = []
            for number in 0..<20 {
                grants.append(try await lock.acquire("n-\(number)", ttl: .seconds(60), wait: .zero))
            }
            #expect(Set(try await lock.holders().map(\.resource)) == Set(grants.map(\.resource)))
            #expect(try await lock.holders(limit: 7).count == 7)
            for grant in grants { try await lock.release(grant) }
            #expect(try await lock.holders().isEmpty)
            #expect(await client.health().status == .ready)
            try await client.ping()
        }

        @Test(arguments: 0..<3)
        func `a release wakes the waiter by a message, whichever nodes their connections are at`(
            owner: Int
        ) async throws {
            let fleet = try await Self.shared.value
            let name = try await Self.resource(of: owner, fleet)
            // Far longer than the test may take, so that nobody gets anything by asking.
            let patience = Duration.seconds(600)
            let first = try RedisClient(fleet.configuration(of: [fleet.servers[0]]), logger: .silent)
            let other = try RedisClient(fleet.configuration(of: [fleet.servers[2]]), logger: .silent)
            let (one, two) = (RedisLock(first, handOverTime: patience), RedisLock(other, handOverTime: patience))
            let grant = try await one.acquire(name, ttl: patience, wait: .zero)
            async let waiting = two.acquire(name, ttl: patience, wait: patience)
            try await eventually("the waiter should be in line") { try await one.holder(of: name)?.waiters == 1 }
            try await one.release(grant)
            try await two.release(try await waiting)

            let readers = RedisSharedLock(other, handOverTime: patience).lock(for: .shared)
            let writer = RedisSharedLock(first, handOverTime: patience).lock(for: .exclusive)
            let exclusive = try await writer.acquire(name, ttl: patience, wait: .zero)
            async let reading = readers.acquire(name, ttl: patience, wait: patience)
            let waiters = LockKeys(prefix: "eventbus:shared", resource: name).base + ":w"
            try await eventually("the reader should be in line") {
                try await first.send("ZCARD", .text(waiters)).integer == 1
            }
            try await writer.release(exclusive)
            try await readers.release(try await reading)
        }

        @Test func `while a slot is moved, a request for its lock fails with the move as the reason`() async throws {
            let fleet = try await ClusterFleet()
            let client = try fleet.client { $0.commandTimeout = .milliseconds(500) }
            let lock = RedisLock(client)
            let slot = HashSlot.of(LockKeys(prefix: "eventbus", resource: "moved").holder.utf8)
            let source = try await fleet.owner(of: slot)
            let target = (source + 1) % 3
            let grant = try await lock.acquire("moved", ttl: .seconds(60), wait: .zero)
            try await fleet.beginMove(of: slot, from: source, to: target)
            let error = await #expect(throws: EventBusError.self) {
                _ = try await lock.acquire("moved", ttl: .seconds(60), wait: .zero)
            }
            #expect("\(try #require(error))".contains("being moved to another node"))
            _ = try await lock.renew(grant)
            try await fleet.moveKeys(of: slot, from: source, to: target)
            try await fleet.endMove(of: slot, from: source, to: target)
            try await lock.release(grant)
        }

        @Test func `while a slot is moved, its lock is held, its waiter waits, and its inbox serves`() async throws {
            let fleet = try await ClusterFleet()
            let client = try fleet.client()
            let (lock, inbox) = (RedisLock(client), RedisInbox(client))
            let name = "moved"
            let slot = HashSlot.of(LockKeys(prefix: "eventbus", resource: name).holder.utf8)
            let source = try await fleet.owner(of: slot)
            let target = (source + 1) % 3
            let grant = try await lock.acquire(name, ttl: .seconds(60), wait: .zero)
            let new = InboxKey(topic: "a.b", eventID: EventID("e"), subscription: "g.s")
            let record = "eventbus:inbox:\(RedisKeys.tag(new.subscription, new.topic.rawValue, new.eventID.rawValue))"
            let place = HashSlot.of(record.utf8)
            let home = try await fleet.owner(of: place)
            let away = (home + 1) % 3

            try await fleet.beginMove(of: slot, from: source, to: target)
            _ = try await lock.renew(grant)
            async let waiting = RedisLock(client).acquire(name, ttl: .seconds(60), wait: .seconds(60))
            try await fleet.moveKeys(of: slot, from: source, to: target)
            // From the node to which the keys have moved, which does not serve the slot yet.
            _ = try await lock.renew(grant)
            try await fleet.endMove(of: slot, from: source, to: target)
            _ = try await lock.renew(grant)
            try await lock.release(grant)
            let next = try await waiting
            #expect(next.fencingToken > grant.fencingToken)
            try await lock.release(next)
            #expect(try await fleet.owner(of: slot) == target)

            try await fleet.beginMove(of: place, from: home, to: away)
            guard case .new(let claim) = try await inbox.begin(new, lease: .seconds(60)) else {
                Issue.record("a new event was claimed already")
                return
            }
            let count = try await fleet.admins[home].send("CLUSTER", "COUNTKEYSINSLOT", .integer(Int64(place)))
            #expect(count.integer == 0)
            try await inbox.renew(claim, lease: .seconds(60))
            try await fleet.endMove(of: place, from: home, to: away)
            try await inbox.complete(claim, retention: .seconds(60))
            #expect(try await inbox.begin(new, lease: .seconds(60)) == .completed)
        }

        @Test func `a node that is gone makes health and its keys unavailable, and no others`() async throws {
            let fleet = try await ClusterFleet()
            let client = try fleet.client()
            let lock = RedisLock(client)
            // Other nodes go on serving their slots.
            for admin in fleet.admins {
                _ = try await admin.send("CONFIG", "SET", "cluster-require-full-coverage", "no")
            }
            let names = [try await Self.resource(of: 1, fleet), try await Self.resource(of: 2, fleet)]
            for name in names { try await lock.withLock(name) { try $0.check() } }
            fleet.servers[1].kill()
            let refused = await #expect(throws: EventBusError.self) {
                _ = try await lock.acquire(names[0], ttl: .seconds(60), wait: .milliseconds(300))
            }
            #expect(refused?.code == .unavailable)
            try await lock.withLock(names[1]) { try $0.check() }
            try await eventually("health should tell") { await client.health().status == .notReady }
            #expect(await client.health().reason?.contains("node") == true)

            // A batch still serves the keys of the other nodes.
            let cache = RedisCache(client)
            let keys = (0..<30).map { "k-\($0)" }
            let values = try await cache.values(for: keys, as: Int.self) { missing in
                Dictionary(uniqueKeysWithValues: missing.map { ($0, 1) })
            }
            #expect(values.count == 30)
            let again = try await cache.values(for: keys, as: Int.self) { missing in
                #expect(!missing.isEmpty && missing.count < 30)
                return Dictionary(uniqueKeysWithValues: missing.map { ($0, 1) })
            }
            #expect(again.count == 30)
        }

        @Test func `what cannot hold on a cluster is refused, with the reason and the alternatives`() async throws {
            let fleet = try await Self.shared.value
            let client = try fleet.client()
            let cache = RedisCache(client)
            let options = CacheOptions(tags: ["supplier"])
            func refused(_ body: () async throws -> Void) async {
                let error = await #expect(throws: EventBusError.self) { try await body() }
                #expect(error?.code == .unsupported && error?.message.contains("tag \"supplier\"") == true)
            }
            await refused { _ = try await cache.value(for: "a", as: Int.self, options: options) { 1 } }
            await refused { try await cache.set(1, for: "a", options: options) }
            await refused { try await cache.removeAll(tag: "supplier") }
            let quorum = RedisQuorumLock([client, client, client])
            let error = await #expect(throws: EventBusError.self) {
                _ = try await quorum.acquire("a", ttl: .seconds(60), wait: .zero)
            }
            #expect(error?.code == .invalidConfiguration && error?.message.contains("cluster") == true)
            // Nothing is served from memory, because no node would tell of all changes.
            #expect(try await cache.value(for: "b", as: Int.self) { 1 } == 1)
            #expect(try await cache.value(for: "b", as: Int.self) { 2 } == 1)
            #expect(cache.cachedValue(for: "b", as: Int.self, options: CacheOptions()) == nil)
        }

        @Test func `a node is refused where a single server is meant, and the other way round`() async throws {
            let fleet = try await Self.shared.value
            let single = try fleet.servers[0].client()
            let error = await #expect(throws: EventBusError.self) { try await single.ping() }
            #expect(error?.code == .unsupported)
            #expect(error?.message.contains("cluster of 3 shards") == true)
            #expect(error?.message.contains("redis+cluster://") == true)
            let health = await single.health()
            #expect(health.status == .notReady && health.reason?.contains("cluster") == true)
            // A call that waits does not wait for a cluster to disappear.
            let refusal = await #expect(throws: EventBusError.self) {
                _ = try await RedisLock(single).acquire("sku", ttl: .seconds(60), wait: .seconds(60))
            }
            #expect(refusal?.code == .unsupported)

            var configuration = try await SharedRedis.configuration()
            guard case .tcp(let host, let port) = configuration.endpoint else { return }
            configuration.endpoint = .cluster(hosts: [.init(host, port: port)])
            let client = try RedisClient(configuration, logger: .silent)
            let mistake = await #expect(throws: EventBusError.self) { try await client.ping() }
            #expect(mistake?.code == .unsupported && mistake?.message.contains("redis://") == true)
        }

        @Test(arguments: ["redis_mode", "server_mode"])
        func `a node is recognized by the names that Redis and Valkey have for its mode`(field: String) async throws {
            @Sendable func text(_ text: String) -> [UInt8] { Array("$\(text.utf8.count)\r\n\(text)\r\n".utf8) }
            let server = try ScriptedServer { command, _ in
                if command == ["INFO", "server"] { return text("\(field):cluster\r\nrun_id:1\r\n") }
                return command == ["CLUSTER", "INFO"] ? text("cluster_size:3\r\n") : greetingReply(command)
            }
            let client = try server.client()
            let error = await #expect(throws: EventBusError.self) { try await client.ping() }
            #expect(error?.code == .unsupported)
        }

        @Test func `a cluster with one shard is served like a server of its own, tags included`() async throws {
            let fleet = try await ClusterFleet(primaries: 1)
            let client = try fleet.servers[0].client()
            #expect(await client.health().status == .ready)
            let cache = RedisCache(client)
            let options = CacheOptions(tags: ["tag"])
            #expect(try await cache.value(for: "a", as: Int.self, options: options) { 1 } == 1)
            try await cache.removeAll(tag: "tag")
            #expect(try await cache.value(for: "a", as: Int.self, options: options) { 2 } == 2)
        }

        @Test func `nodes that redirect to each other forever end a command at its deadline`() async throws {
            let ports = Shared<[Int]>([])
            let commands = Shared(0)
            func node(_ own: Int) throws -> ScriptedServer {
                try ScriptedServer { command, _ in
                    if let reply = greetingReply(command) { return reply }
                    if command == ["CLUSTER", "SLOTS"] {
                        return Array("*1\r\n*3\r\n:0\r\n:16383\r\n*2\r\n$9\r\n127.0.0.1\r\n:\(ports.value[0])\r\n".utf8)
                    }
                    if command.first == "CLUSTER" { return Array("+cluster_state:ok\r\n".utf8) }
                    if command.first == "GET" { commands.change { $0 += 1 } }
                    return Array("-MOVED 15495 127.0.0.1:\(ports.value[1 - own])\r\n".utf8)
                }
            }
            let nodes = [try node(0), try node(1)]
            ports.change { $0 = nodes.map(\.port) }
            var configuration = nodes[0].configuration
            configuration.endpoint = .cluster(hosts: [.init("127.0.0.1", port: nodes[1].port)])
            configuration.commandTimeout = .milliseconds(500)
            let client = try RedisClient(configuration, logger: .silent)
            let error = await #expect(throws: EventBusError.self) { _ = try await client.send("GET", "a") }
            // The second one if a slow node has the command at the deadline.
            #expect(error?.code == .unavailable || error?.code == .indeterminate)
            #expect((5..<200).contains(commands.value))
            withExtendedLifetime(nodes) {}
        }
    }
}

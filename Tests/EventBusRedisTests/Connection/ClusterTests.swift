import EventBus
import Testing

@testable import EventBusRedis

extension RedisTests {
    @Suite(.timeLimit(.minutes(1)))
    struct ClusterTests {
        /// Starts a node that serves a range of slots.
        ///
        /// - Parameter busPort: The port for other nodes. By default, the server would take one that may be in use.
        private static func node(
            _ slots: Range<Int64>,
            busPort: Int
        ) async throws -> (server: RedisServer, client: RedisClient) {
            let server = try await RedisServer("--cluster-enabled", "yes", "--cluster-port", "\(busPort)")
            let client = try server.client()
            let reply = try await client.send(RedisCommand("CLUSTER", ["ADDSLOTS"] + slots.map { .integer($0) }))
            #expect(reply.text == "OK")
            return (server, client)
        }

        private static func awaitState(_ field: String, _ client: RedisClient) async throws {
            try await eventually("the cluster should report \(field)") {
                try await client.send("CLUSTER", "INFO").text?.contains("\(field)\r\n") == true
            }
        }

        @Test func `a cluster with one shard is served like a server of its own`() async throws {
            let (server, client) = try await Self.node(0..<16_384, busPort: freePort())
            try await Self.awaitState("cluster_state:ok", client)
            let fresh = try server.client()
            #expect(await fresh.health().status == .ready)
            try await RedisLock(fresh).withLock("sku") { try $0.check() }
            let inbox = RedisInbox(fresh)
            let key = InboxKey(topic: "a.b", eventID: EventID(), subscription: "g.s")
            guard case .new(let claim) = try await inbox.begin(key, lease: .seconds(30)) else {
                Issue.record("a new event was claimed already")
                return
            }
            try await inbox.complete(claim, retention: .seconds(30))
            let cache = RedisCache(fresh)
            var options = CacheOptions()
            options.tags = ["tag"]
            let values = try await cache.values(for: ["a", "b", "c"], as: Int.self, options: options) { keys in
                Dictionary(uniqueKeysWithValues: keys.map { ($0, 1) })
            }
            #expect(values.count == 3)
            try await cache.removeAll(tag: "tag")
            #expect(try await RedisRateLimiter(fresh).request("a", limit: RateLimit(1, per: .seconds(1))).isGranted)
        }

        @Test func `a node of a cluster with several shards is refused, with the reason and the alternatives`()
            async throws
        {
            let (one, client) = try await Self.node(0..<8_192, busPort: freePort())
            let busPort = try freePort()
            let (other, _) = try await Self.node(8_192..<16_384, busPort: busPort)
            let meeting = ["127.0.0.1", .integer(Int64(other.port)), .integer(Int64(busPort))] as [RedisArgument]
            _ = try await client.send(RedisCommand("CLUSTER", ["MEET"] + meeting))
            try await Self.awaitState("cluster_size:2", client)
            let fresh = try one.client()
            let error = await #expect(throws: EventBusError.self) { try await fresh.ping() }
            #expect(error?.code == .unsupported)
            #expect(error?.message.contains("cluster of 2 shards") == true)
            #expect(error?.message.contains("Sentinel") == true)
            let health = await fresh.health()
            #expect(health.status == .notReady && health.reason?.contains("cluster") == true)
            // A call that waits does not wait for a cluster to disappear.
            let refusal = await #expect(throws: EventBusError.self) {
                _ = try await RedisLock(fresh).acquire("sku", ttl: .seconds(60), wait: .seconds(60))
            }
            #expect(refusal?.code == .unsupported)
        }
    }
}

import EventBus
import Testing

@testable import EventBusRedis

extension RedisTests {
    /// Commands that are sent together to the nodes of a cluster, one of which is cut off after it has executed them.
    @Suite(.timeLimit(.minutes(2)))
    struct ClusterBatchTests {
        private static let increment = RedisScript("return redis.call('INCR', KEYS[1])", name: "test.increment")

        /// A cluster whose first node is reached by a proxy.
        private struct CutFleet {
            let fleet: ClusterFleet
            let proxy: RedisProxy
            /// The digest of the script whose next reply from the first node is lost, together with the connection.
            let digest: Shared<String?>

            init() async throws {
                fleet = try await ClusterFleet()
                let (digest, isCut, target) = (Shared<String?>(nil), Shared(false), Shared<RedisProxy?>(nil))
                let proxy = try RedisProxy(to: fleet.servers[0].port) { direction, bytes in
                    switch direction {
                    case .request:
                        guard let wanted = digest.value, String(decoding: bytes, as: UTF8.self).contains(wanted) else {
                            return
                        }
                        digest.change { $0 = nil }
                        isCut.change { $0 = true }
                    case .reply:
                        guard isCut.value else { return }
                        isCut.change { $0 = false }
                        target.value?.hangUp()
                    }
                }
                target.change { $0 = proxy }
                (self.digest, self.proxy) = (digest, proxy)
                let port = RedisArgument.integer(Int64(proxy.port))
                _ = try await fleet.admins[0].send("CONFIG", "SET", "cluster-announce-port", port)
                for admin in fleet.admins {
                    try await eventually("each node should name the proxy") {
                        SlotMap(try await admin.send("CLUSTER", "SLOTS"), askedAt: "127.0.0.1")?[0]?.port == proxy.port
                    }
                }
            }

            /// Returns keys with a prefix, of which at least one is at each node.
            static func keys(_ count: Int, _ name: (String) -> String) -> [String] {
                let keys = (0..<count).map { "key-\($0)" }
                let nodes = Set(keys.map { HashSlot.of(name($0).utf8) * 3 / SlotMap.slotCount })
                #expect(nodes == [0, 1, 2])
                return keys
            }
        }

        @Test func `a removal whose outcome one node did not tell is sent to it once more`() async throws {
            let cut = try await CutFleet()
            let cache = RedisCache(try cut.fleet.client())
            let keys = CutFleet.keys(30) { cache.keys.entry($0) }
            for key in keys { try await cache.set(1, for: key) }
            // Each node knows the script afterwards.
            try await cache.remove(keys)
            for key in keys { try await cache.set(1, for: key) }
            cut.digest.change { $0 = CacheScripts.remove.digest }
            try await cache.remove(keys)
            #expect(cut.digest.value == nil, "nothing was cut")
            for key in keys { #expect(try await cache.value(for: key, as: Int.self) { 2 } == 2) }
        }

        @Test func `a step that must not be repeated is reported as one of unknown outcome, at its own keys only`()
            async throws
        {
            let cut = try await CutFleet()
            let client = try cut.fleet.client()
            let keys = CutFleet.keys(30) { $0 }
            let calls = keys.map { ([$0], []) as RedisConnection.Call }
            _ = try await client.commandChannel.run(Self.increment, each: calls)
            cut.digest.change { $0 = Self.increment.digest }
            let replies = try await client.commandChannel.run(Self.increment, each: calls)
            #expect(cut.digest.value == nil, "nothing was cut")
            for (key, reply) in zip(keys, replies) {
                let isCut = HashSlot.of(key.utf8) * 3 / SlotMap.slotCount == 0
                if isCut {
                    let error = #expect(throws: EventBusError.self) { _ = try reply.orThrow() }
                    #expect(error?.code == .indeterminate, "\(reply)")
                } else {
                    #expect(reply == .integer(2))
                }
                #expect(try await client.send("GET", .text(key)).text == "2")
            }
        }
    }
}

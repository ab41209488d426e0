import EventBus
import Testing

@testable import EventBusRedis

extension RedisTests {
    @Suite(.timeLimit(.minutes(2)))
    struct FailoverTests {
        /// A host name whose addresses the test changes.
        private final class Name: Sendable {
            let ports: Shared<[Int]>

            init(_ servers: RedisServer...) { ports = Shared(servers.map(\.port)) }

            func move(to servers: RedisServer...) {
                let new = servers.map(\.port)
                ports.change { $0 = new }
            }

            /// Creates a client.
            ///
            /// - Parameter rotates: `true` if each lookup starts with another address.
            func client(rotates: Bool = false, heartbeat: Duration = .milliseconds(200)) throws -> RedisClient {
                var configuration = RedisConfiguration(endpoint: .tcp(host: "name", port: 1))
                configuration.reconnect.maximum = .milliseconds(50)
                configuration.heartbeat = heartbeat
                let (ports, turns) = (ports, Shared(0))
                return try RedisClient(configuration, logger: .silent) { _, _, _ throws(EventBusError) in
                    var addresses: [SocketAddress] = []
                    for port in ports.value {
                        addresses += try SocketAddress.resolve(host: "127.0.0.1", port: port, numericOnly: true)
                    }
                    if rotates {
                        turns.change { $0 += 1 }
                        let turn = turns.value % addresses.count
                        addresses = Array(addresses[turn...] + addresses[..<turn])
                    }
                    return addresses
                }
            }
        }

        private func demote(_ server: RedisServer) async throws {
            _ = try await server.client().send(RedisCommand("REPLICAOF", ["127.0.0.1", "1"]))
        }

        @Test func `a server that became a replica is left, and its name looked up again`() async throws {
            let old = try await RedisServer()
            let new = try await RedisServer()
            let name = Name(old)
            let client = try name.client(heartbeat: .seconds(60))
            _ = try await client.send("SET", "key", "old")
            try await demote(old)
            name.move(to: new)
            try await eventually("the new primary should take commands") {
                (try? await client.send("SET", "key", "new")) != nil
            }
            #expect(try await new.client().send("GET", "key").text == "new")
            #expect(await client.health().status == .ready)
        }

        @Test func `a client that only reads leaves a server that became a replica too`() async throws {
            let old = try await RedisServer()
            let new = try await RedisServer()
            _ = try await new.client().send("SET", "key", "new")
            let name = Name(old)
            let client = try name.client()
            _ = try await client.send("SET", "key", "old")
            try await demote(old)
            name.move(to: new)
            try await eventually("the value should be that of the new primary") {
                (try? await client.send("GET", "key"))?.text == "new"
            }
        }

        @Test func `a replica that refuses reads because it has lost its primary is left at once`() async throws {
            let old = try await RedisServer("--replica-serve-stale-data", "no")
            let new = try await RedisServer()
            _ = try await new.client().send("SET", "key", "new")
            let name = Name(old)
            // Asks for the role too rarely to find out by that.
            let client = try name.client(heartbeat: .seconds(60))
            _ = try await client.send("SET", "key", "old")
            try await demote(old)
            name.move(to: new)
            try await eventually("the value should be that of the new primary") {
                (try? await client.send("GET", "key"))?.text == "new"
            }
        }

        @Test func `of the addresses of a name, that of the primary is used`() async throws {
            let replica = try await RedisServer()
            let primary = try await RedisServer()
            try await demote(replica)
            let client = try Name(replica, primary).client()
            _ = try await client.send("SET", "key", "value")
            #expect(try await primary.client().send("GET", "key").text == "value")
        }

        @Test func `a replica is not ready`() async throws {
            let server = try await RedisServer()
            let client = try server.client { $0.heartbeat = .seconds(60) }
            #expect(await client.health().status == .ready)
            try await demote(server)
            let health = await client.health()
            #expect(health.status == .notReady)
            #expect(health.reason?.contains("replica") == true)
            let other = try server.client()
            await #expect(throws: EventBusError.self) { try await other.ping() }
        }

        @Test func `with several servers behind a name, commands and messages reach the same one`() async throws {
            let servers = (try await RedisServer(), try await RedisServer())
            let name = Name(servers.0, servers.1)
            for _ in 0..<10 {
                let client = try name.client(rotates: true)
                let cache = RedisCache(client)
                try await cache.set("value", for: "key")
                try await eventually("the cache should keep values in memory") {
                    _ = try await cache.value(for: "key", as: String.self) { "other" }
                    return cache.cachedValue(for: "key", as: String.self, options: CacheOptions()) != nil
                }
                await client.close()
            }
        }

        @Test func `with several servers behind a name, values and locks reach the same one`() async throws {
            let servers = (try await RedisServer(), try await RedisServer())
            let name = Name(servers.0, servers.1)
            for round in 0..<10 {
                let client = try name.client(rotates: true)
                func server(_ channel: any CommandChannel) async throws -> String? {
                    let reply = try await channel.send(
                        RedisCommand("INFO", ["server"]),
                        timeout: nil,
                        cancellation: .never
                    )
                    return reply.text?.split(whereSeparator: \.isNewline).first { $0.hasPrefix("run_id") }.map(
                        String.init
                    )
                }
                // Both orders of the connections.
                let channels =
                    round % 2 == 0
                    ? [client.commandChannel, client.valueChannel] : [client.valueChannel, client.commandChannel]
                let first = try await server(channels[0])
                let second = try await server(channels[1])
                #expect(first != nil && first == second, "round \(round)")
                #expect(try await server(channels[0]) == first)
                #expect(await client.health().status == .ready)
                await client.close()
            }
        }

        @Test func `a client whose values cannot reach the server of the locks is not ready`() async throws {
            let servers = (try await RedisServer(), try await RedisServer())
            let name = Name(servers.0)
            let client = try name.client()
            _ = try await client.commandChannel.send(RedisCommand("PING"), timeout: nil, cancellation: .never)
            // Looked up again by the connection that is opened now only.
            name.move(to: servers.1)
            let wanted = try address(of: servers.1)
            try await eventually("the locks should follow the name, to the server of the values") {
                _ = try? await client.send("SET", "key", "value")
                let health = await client.health()
                return health.status == .ready
                    && client.connection.presence.server == client.values.presence.server
                    && client.connection.presence.server?.address == wanted
            }
            #expect(try await servers.1.client().send("GET", "key").text == "value")
            #expect(try await servers.0.client().send("GET", "key") == .null)
        }

        private func address(of server: RedisServer) throws -> SocketAddress? {
            try SocketAddress.resolve(host: "127.0.0.1", port: server.port, numericOnly: true).first
        }

        @Test func `with several servers behind a name, a release wakes the waiter instead of taking it for dead`()
            async throws
        {
            let servers = (try await RedisServer(), try await RedisServer())
            let name = Name(servers.0, servers.1)
            for _ in 0..<5 {
                let client = try name.client(rotates: true)
                // Nobody asks by itself within the time of this test.
                let lock = RedisLock(client, handOverTime: .seconds(60))
                let line = LockKeys(prefix: "eventbus", resource: "sku").base + ":w"
                let grant = try await lock.acquire("sku", ttl: .seconds(60), wait: .zero)
                let waiting = Task { try await lock.acquire("sku", ttl: .seconds(60), wait: .seconds(60)) }
                try await eventually("it should stand in line") {
                    try await client.send(RedisCommand("ZCARD", [.text(line)])).integer == 1
                }
                try await eventually("the messages should come from the same server") {
                    if case .inForce = lock.subscriber.subscription.withLock({ $0 }) { true } else { false }
                }
                try await lock.release(grant)
                try await lock.release(waiting.value)
                await client.close()
            }
        }

        @Test
        func
            `when only the messages have moved to another server, nothing is served from memory until the commands have`()
            async throws
        {
            let old = try await RedisServer()
            let new = try await RedisServer()
            let name = Name(old)
            let client = try name.client()
            let cache = RedisCache(client)
            let writer = RedisCache(try new.client())
            try await cache.set("old", for: "key")
            try await eventually("the cache should keep the value in memory") {
                _ = try await cache.value(for: "key", as: String.self) { "computed" }
                return cache.cachedValue(for: "key", as: String.self, options: CacheOptions()) != nil
            }
            // The old server continues as if it were the primary. Only the connection for messages is cut.
            try await writer.set("new", for: "key")
            name.move(to: new)
            _ = try await old.client().send(RedisCommand("CLIENT", ["KILL", "TYPE", "pubsub"]))
            try await eventually("the cache should follow to the new server") {
                try await cache.value(for: "key", as: String.self) { "computed" } == "new"
            }
            try await eventually("the cache should keep values in memory again") {
                _ = try await cache.value(for: "key", as: String.self) { "computed" }
                return cache.cachedValue(for: "key", as: String.self, options: CacheOptions()) != nil
            }
            try await writer.set("newer", for: "key")
            try await eventually("the cache should hear of changes there") {
                try await cache.value(for: "key", as: String.self) { "computed" } == "newer"
            }
            #expect(await client.health().status == .ready)
        }
    }
}

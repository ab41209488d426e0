import EventBus
import Testing

@testable import EventBusRedis

extension RedisTests {
    @Suite(.timeLimit(.minutes(3)))
    struct SentinelTests {
        /// A Sentinel whose answers a test chooses.
        private final class ScriptedSentinel: Sendable {
            let server: ScriptedServer
            let primary: Shared<(port: Int, epoch: Int)>
            /// The port of a replica that it has promoted in a failover that is not complete.
            let promoted = Shared<Int?>(nil)
            /// The number of heartbeats that it received.
            let heartbeats = Shared(0)
            private let subscribers: Shared<[RawConnection]>
            private let asked: Shared<Int>

            init(port: Int, epoch: Int = 1) throws {
                let primary = Shared((port: port, epoch: epoch))
                let subscribers = Shared<[RawConnection]>([])
                let asked = Shared(0)
                self.asked = asked
                self.primary = primary
                self.subscribers = subscribers
                server = try ScriptedServer { [promoted, heartbeats] command, connection in
                    switch command.first {
                    case "SENTINEL" where command[1] == "GET-MASTER-ADDR-BY-NAME":
                        defer { asked.change { $0 += 1 } }
                        return Self.array(["127.0.0.1", "\(promoted.value ?? primary.value.port)"])
                    case "SENTINEL":
                        let (port, epoch) = primary.value
                        let address = ["ip", "127.0.0.1", "port", "\(port)"]
                        return Self.array(["name", "orders"] + address + ["config-epoch", "\(epoch)"])
                    case "SUBSCRIBE":
                        subscribers.change { $0.append(connection) }
                        return Array("*3\r\n$9\r\nsubscribe\r\n$14\r\n+switch-master\r\n:1\r\n".utf8)
                    case "PING":
                        heartbeats.change { $0 += 1 }
                        return Self.array(["pong", ""])
                    default: return Array("+OK\r\n".utf8)
                    }
                }
            }

            var host: RedisConfiguration.Host { .init("127.0.0.1", port: server.port) }
            /// The number of times that it was asked for the primary.
            var questions: Int { asked.value }
            var isWatched: Bool { !subscribers.value.isEmpty }

            /// Cuts the connections for messages. The client opens another one.
            func cut() {
                for connection in subscribers.value { connection.hangUp() }
                subscribers.change { $0 = [] }
            }

            func announce(service: String, port: Int) {
                let message = "\(service) 127.0.0.1 1 127.0.0.1 \(port)"
                for connection in subscribers.value {
                    connection.write(Self.array(["message", "+switch-master", message]))
                }
            }

            private static func array(_ words: [String]) -> [UInt8] {
                Array("*\(words.count)\r\n".utf8) + words.flatMap { Array("$\($0.utf8.count)\r\n\($0)\r\n".utf8) }
            }
        }

        private func client(_ sentinels: [RedisConfiguration.Host], heartbeat: Duration = .seconds(60)) throws
            -> RedisClient
        {
            var configuration = RedisConfiguration(endpoint: .sentinel(hosts: sentinels, service: "orders"))
            configuration.heartbeat = heartbeat
            configuration.reconnect.maximum = .milliseconds(100)
            return try RedisClient(configuration, logger: .silent)
        }

        private func port(of client: RedisClient) -> String? {
            (client.connection.presence.server?.address.description.split(separator: ":").last).map(String.init)
        }

        @Test func `another primary is used as soon as a Sentinel announces it, for the client's own service only`()
            async throws
        {
            let (first, second) = (try await RedisServer(), try await RedisServer())
            let sentinel = try ScriptedSentinel(port: first.port)
            let client = try client([sentinel.host])
            try await client.ping()
            #expect(port(of: client) == "\(first.port)")
            // Its two connections ask, and it asks again when it begins to listen.
            try await eventually("the client should have asked") { sentinel.isWatched && sentinel.questions == 3 }

            sentinel.primary.change { $0 = (second.port, 2) }
            sentinel.announce(service: "payments", port: second.port)
            try await client.ping()
            #expect(port(of: client) == "\(first.port)")

            sentinel.announce(service: "orders", port: second.port)
            try await eventually("the client should change to the other server") {
                _ = try? await client.ping()
                return port(of: client) == "\(second.port)"
            }
            await client.close()
        }

        @Test(arguments: [true, false])
        func `a former primary that nobody has announced is left although it still serves`(isCut: Bool) async throws {
            let (first, second) = (try await RedisServer(), try await RedisServer())
            // The first one is separated from the others, and hears of nothing.
            let sentinels = [try ScriptedSentinel(port: first.port), try ScriptedSentinel(port: first.port)]
            let client = try client(sentinels.map(\.host), heartbeat: isCut ? .seconds(60) : .milliseconds(200))
            let lock = RedisLock(client)
            let grant = try await lock.acquire("sku", ttl: .seconds(60), wait: .zero)
            try await eventually("the client should listen") { sentinels.contains { $0.isWatched } }

            sentinels[1].primary.change { $0 = (second.port, 2) }
            if isCut { for sentinel in sentinels { sentinel.cut() } }
            try await eventually("the client should change to the other server") {
                port(of: client) == "\(second.port)"
            }
            let next = try await lock.acquire("sku", ttl: .seconds(60), wait: .seconds(60))
            #expect(next.fencingToken > grant.fencingToken)
            await client.close()
        }

        @Test func `a Sentinel that is left alone does not bring a client back to a former primary`() async throws {
            let (former, current) = (try await RedisServer(), try await RedisServer())
            let behind = try ScriptedSentinel(port: former.port)
            var ahead: ScriptedSentinel? = try ScriptedSentinel(port: current.port, epoch: 2)
            let hosts = [behind.host, try #require(ahead).host]
            let client = try client(hosts)
            try await client.ping()
            #expect(port(of: client) == "\(current.port)")
            ahead?.cut()
            ahead = nil
            try await eventually("the client should follow the other Sentinel") { behind.isWatched }
            // Each question begins when the one before has ended.
            for _ in 0..<3 {
                let before = behind.questions
                behind.cut()
                try await eventually("the client should ask") { behind.isWatched && behind.questions > before }
            }
            try await client.ping()
            #expect(port(of: client) == "\(current.port)")
            await client.close()
        }

        @Test func `a Sentinel that completes a failover does not bring a client back to the former primary`()
            async throws
        {
            let (former, current) = (try await RedisServer(), try await RedisServer())
            // The one that leads the failover has promoted the replica, and the other one has been told so.
            let leader = try ScriptedSentinel(port: former.port, epoch: 2)
            leader.promoted.change { $0 = current.port }
            let follower = try ScriptedSentinel(port: current.port, epoch: 2)
            for hosts in [[leader.host, follower.host], [follower.host, leader.host], [leader.host]] {
                let client = try client(hosts)
                try await client.ping()
                #expect(port(of: client) == "\(current.port)")
                await client.close()
            }
        }

        @Test func `a connection that has found the new primary outlives its announcement`() async throws {
            let (former, current) = (try await RedisServer(), try await RedisServer())
            let sentinel = try ScriptedSentinel(port: current.port, epoch: 2)
            let client = try client([sentinel.host], heartbeat: .milliseconds(50))
            try await client.ping()
            try await eventually("the client should listen") { sentinel.isWatched }
            func connectionCount() async throws -> Substring? {
                let statistics = try await client.send("INFO", "stats").text ?? ""
                return statistics.split(separator: "\r\n").first { $0.hasPrefix("total_connections_received:") }
            }
            let count = try await connectionCount()
            try #require(count != nil)
            sentinel.announce(service: "orders", port: current.port)
            // The reply to the first heartbeat follows the announcement, and the second heartbeat follows that reply.
            let heartbeats = sentinel.heartbeats.value
            try await eventually("the client should have read it") { sentinel.heartbeats.value > heartbeats + 1 }
            #expect(try await connectionCount() == count)
            sentinel.primary.change { $0 = (former.port, 3) }
            sentinel.announce(service: "orders", port: former.port)
            try await eventually("the client should change to the other server") {
                _ = try? await client.ping()
                return port(of: client) == "\(former.port)"
            }
            await client.close()
        }

        @Test func `the latest answer of all Sentinels counts, and those that do not answer are ignored`()
            async throws
        {
            let (old, current) = (try await RedisServer(), try await RedisServer())
            let silentPort = try freePort()
            let silent = try #require(try RawListener(port: silentPort))
            let sentinels = [
                try ScriptedSentinel(port: current.port, epoch: 7), try ScriptedSentinel(port: old.port, epoch: 6),
            ]
            let closed = RedisConfiguration.Host("127.0.0.1", port: try freePort())
            let hosts = [closed, .init("127.0.0.1", port: silentPort)] + sentinels.map(\.host)
            let client = try client(hosts)
            try await client.ping()
            #expect(port(of: client) == "\(current.port)")
            await client.close()
            silent.close()
        }

        @Test(arguments: [true, false])
        func `a name that is not resolved holds nobody up who asks others`(isCluster: Bool) async throws {
            let name = Valve(isOpen: false)
            defer { name.open() }
            let fleet = isCluster ? try await ClusterFleet() : nil
            let server = if let fleet { fleet.servers[0] } else { try await RedisServer() }
            let sentinel = try ScriptedSentinel(port: server.port)
            let other = isCluster ? .init("127.0.0.1", port: server.port) : sentinel.host
            let hosts = [.init("nowhere", port: 1), other]
            var configuration = RedisConfiguration(
                endpoint: isCluster ? .cluster(hosts: hosts) : .sentinel(hosts: hosts, service: "orders")
            )
            // Nothing else would end the attempt.
            configuration.connectTimeout = .seconds(600)
            configuration.commandTimeout = .seconds(30)
            let lookup: RedisConnection.AddressLookup = { host, port, numericOnly throws(EventBusError) in
                if host == "nowhere" { name.pass() }
                return try SocketAddress.resolve(host: host, port: port, numericOnly: numericOnly)
            }
            let client = try RedisClient(configuration, logger: .silent, lookup: lookup)
            try await client.ping()
            await client.close()
        }

        @Test func `without a Sentinel that knows the service, the error names the service`() async throws {
            let sentinel = try ScriptedServer { _, _ in Array("-ERR No such master with that name\r\n".utf8) }
            for host in [sentinel.port, try freePort()] {
                let client = try client([.init("127.0.0.1", port: host)])
                let error = await #expect(throws: EventBusError.self) { try await client.ping() }
                #expect(error?.code == .unavailable)
                #expect(error.map { "\($0)" }?.contains("orders") == true)
                await client.close()
            }
        }

        @Test(arguments: [true, false])
        func `after the primary was killed or froze, locks and caches go on at the next, and the fence keeps growing`(
            isKilled: Bool
        ) async throws {
            let fleet = try await SentinelFleet()
            let client = try RedisClient(fleet.configuration, logger: .silent)
            let (lock, cache) = (RedisLock(client), RedisCache(client))
            let fences = Shared<[UInt64]>([])
            @Sendable func take() async throws {
                try await lock.withLock("sentinel", ttl: .seconds(2), wait: .seconds(30)) { lease in
                    fences.change { $0.append(lease.fencingToken) }
                }
            }
            for _ in 0..<20 { try await take() }
            try await cache.set(1, for: "sentinel")
            let before = fences.value.count
            let load = Task {
                while !Task.isCancelled { try? await take() }
            }
            if isKilled { fleet.servers[0].kill() } else { fleet.servers[0].pause() }
            try await eventually("the replica should be the primary", within: .seconds(60)) {
                _ = try? await client.ping()
                return port(of: client) == "\(fleet.servers[1].port)"
            }
            try await eventually("locks should be granted again", within: .seconds(60)) {
                fences.value.count > before + 20
            }
            if !isKilled {
                // The former primary executes what it had received, as a primary of its own for a while.
                fleet.servers[0].resume()
                let former = try fleet.servers[0].client()
                try await eventually("the former primary should become a replica", within: .seconds(60)) {
                    await former.health().reason?.contains("replica") == true
                }
                let count = fences.value.count
                try await eventually("locks should still be granted") { fences.value.count > count + 20 }
            }
            load.cancel()
            await load.value
            #expect(fences.value == fences.value.sorted())
            #expect(Set(fences.value).count == fences.value.count)
            // Large values have a connection of their own, which may still be on its way to the new primary.
            try await eventually("the cache should store again") {
                (try? await cache.set(2, for: "sentinel")) != nil
            }
            #expect(try await cache.value(for: "sentinel", as: Int.self) { 0 } == 2)
            #expect(await client.health().status == .ready)
            await client.close()
        }

        @Test func `a failover without a failure moves a client that sends nothing`() async throws {
            let fleet = try await SentinelFleet()
            let client = try RedisClient(fleet.configuration, logger: .silent)
            try await client.ping()
            #expect(port(of: client) == "\(fleet.servers[0].port)")
            try await fleet.failOver()
            try await eventually("it should be connected to the other server", within: .seconds(60)) {
                port(of: client) == "\(fleet.servers[1].port)"
            }
            try await eventually("it should take commands") { (try? await client.send("SET", "key", "value")) != nil }
            await client.close()
        }
    }
}

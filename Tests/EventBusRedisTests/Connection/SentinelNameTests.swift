import EventBus
import Testing

@testable import EventBusRedis

extension RedisTests {
    /// A name with the addresses of several Sentinels, such as that of a headless service.
    @Suite(.timeLimit(.minutes(2)))
    struct SentinelNameTests {
        /// Returns a client whose Sentinels have one name with all of `ports`, in this order.
        private func client(_ ports: [Int]) throws -> RedisClient {
            var configuration = RedisConfiguration(
                endpoint: .sentinel(hosts: [.init("sentinels", port: 26379)], service: "orders")
            )
            configuration.reconnect.maximum = .milliseconds(100)
            return try RedisClient(configuration, logger: .silent) { host, port, numericOnly throws(EventBusError) in
                guard host == "sentinels" else {
                    return try SocketAddress.resolve(host: host, port: port, numericOnly: numericOnly)
                }
                var addresses: [SocketAddress] = []
                for port in ports {
                    addresses += try SocketAddress.resolve(host: "127.0.0.1", port: port, numericOnly: true)
                }
                return addresses
            }
        }

        @Test(arguments: 0..<3)
        func `of the addresses of a name, all are asked, so that one Sentinel that is down prevents nothing`(
            down: Int
        ) async throws {
            let fleet = try await SentinelFleet()
            fleet.killSentinel(down)
            let client = try client(fleet.ports)
            try await client.ping()
            #expect(client.connection.presence.server?.address.description == "127.0.0.1:\(fleet.servers[0].port)")
            fleet.servers[0].kill()
            try await eventually("the replica should be the primary", within: .seconds(60)) {
                _ = try? await client.ping()
                return client.connection.presence.server?.address.description == "127.0.0.1:\(fleet.servers[1].port)"
            }
            await client.close()
        }

        @Test func `addresses that refuse, and one that is silent, leave the answer of the last one`() async throws {
            let fleet = try await SentinelFleet()
            let silentPort = try freePort()
            let silent = try #require(try RawListener(port: silentPort))
            let client = try client([try freePort(), silentPort, fleet.ports[0]])
            try await client.ping()
            await client.close()
            silent.close()
        }

        @Test func `if no address of a name answers, the error names the service and the last problem`() async throws {
            let client = try client([try freePort(), try freePort()])
            let error = await #expect(throws: EventBusError.self) { try await client.ping() }
            #expect(error?.code == .unavailable)
            #expect(error.map { "\($0)" }?.contains("orders") == true)
            #expect(error?.underlying != nil)
        }
    }
}

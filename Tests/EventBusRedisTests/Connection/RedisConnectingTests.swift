import ConnectionThread
import EventBus
import Glibc
import Testing

@testable import EventBusRedis

extension RedisTests {
    @Suite(.timeLimit(.minutes(2)))
    struct RedisConnectingTests {
        /// A server that accepts connections and sends nothing.
        private final class SilentServer: Sendable {
            let port: Int
            let accepted = Shared(0)
            private let listener: RawListener

            init() throws {
                port = try freePort()
                guard let listener = try RawListener(port: port) else { throw EventBusError(.unavailable, "no port") }
                self.listener = listener
                let accepted = accepted
                onThread {
                    var connections: [RawConnection] = []
                    while let connection = try? listener.accept() {
                        connections.append(connection)
                        accepted.change { $0 += 1 }
                    }
                }
            }

            deinit { listener.close() }
        }

        /// Returns a client of a host with one address for each port.
        private func client(
            ports: [Int],
            _ change: (inout RedisConfiguration) -> Void = { _ in }
        ) throws -> RedisClient {
            var configuration = RedisConfiguration(endpoint: .tcp(host: "several", port: 1))
            configuration.connectTimeout = .seconds(1)
            configuration.commandTimeout = .seconds(10)
            configuration.reconnect.maximum = .milliseconds(50)
            change(&configuration)
            return try RedisClient(configuration, logger: .silent) { _, _, _ throws(EventBusError) in
                var addresses: [SocketAddress] = []
                for port in ports {
                    addresses += try SocketAddress.resolve(host: "127.0.0.1", port: port, numericOnly: true)
                }
                return addresses
            }
        }

        @Test func `an address that swallows everything does not hide the one behind it`() async throws {
            let silent = try SilentServer()
            let server = try await RedisServer()
            let client = try client(ports: [silent.port, server.port])
            try await client.ping()
            // Once by each of both connections.
            #expect(silent.accepted.value == 2)

            // The next attempt starts with the address that worked.
            let admin = try server.client()
            _ = try await admin.send(RedisCommand("CLIENT", ["KILL", "TYPE", "normal", "SKIPME", "yes"]))
            try await eventually("the client should connect again") { (try? await client.ping()) != nil }
            #expect(silent.accepted.value == 2)
        }

        @Test func `an address where nothing listens costs no time`() async throws {
            let server = try await RedisServer()
            let client = try client(ports: [try freePort(), try freePort(), server.port]) {
                $0.connectTimeout = .seconds(60)
            }
            try await client.ping()
        }

        @Test func `where every address swallows everything, calls fail within the time to connect`() async throws {
            let silent = [try SilentServer(), try SilentServer()]
            let client = try client(ports: silent.map(\.port)) { $0.commandTimeout = .seconds(600) }
            await #expect {
                try await client.ping()
            } throws: {
                ($0 as? EventBusError)?.code == .unavailable
            }
            #expect(silent.allSatisfy { $0.accepted.value >= 1 })
        }

        @Test func `what was not delivered when a connection is given up is never delivered`() async throws {
            let port = try freePort()
            let listener = try #require(try RawListener(port: port))
            let accepted = Shared<[RawConnection]>([])
            onThread {
                while let connection = try? listener.accept() { accepted.change { $0.append(connection) } }
            }
            var configuration = RedisConfiguration(endpoint: .tcp(host: "127.0.0.1", port: port))
            configuration.heartbeat = .milliseconds(200)
            let client = try RedisClient(configuration, logger: .silent)
            // More than the kernel buffers for a peer that does not read.
            let size = 32 << 20
            let call = Task {
                try await client.send(RedisCommand("SET", ["key", .bytes([UInt8](repeating: 1, count: size))]))
            }
            try await eventually("the client should connect") { !accepted.value.isEmpty }
            let connection = accepted.value[0]
            // The greeting, after which nothing is read.
            let unknown = "-ERR unknown command\r\n"
            for reply in ["+OK\r\n", unknown, unknown, unknown, "+PONG\r\n"] {
                _ = try connection.read()
                connection.write(reply)
            }
            await #expect {
                try await call.value
            } throws: {
                ($0 as? EventBusError)?.code == .indeterminate
            }
            // Now the peer reads. The data that the kernel has buffered for a regularly closed connection still
            // arrives, followed by its end.
            var total = 0
            var isReset = false
            reading: while true {
                do {
                    let count = try connection.readBytes().count
                    if count == 0 { break reading }
                    total += count
                } catch {
                    isReset = true
                    break reading
                }
            }
            print("of an abandoned command of \(size) bytes, \(total) arrived")
            #expect(isReset, "the connection ended as if all had been said, after \(total) bytes")
            listener.close()
        }

        @Test func `commands of many tasks that come in one turn of the thread leave in one send`() async throws {
            let server = try await RedisServer()
            let thread = try ConnectionThread(name: "redis-test")
            let connection = RedisConnection(server.configuration, role: .commands, thread: thread, logger: .silent)
            _ = try await connection.send(RedisCommand("PING"))
            let socket = try #require(await connection.socket)
            let before = try segmentsSent(over: socket.descriptor)

            let turn = Valve(isOpen: false)
            thread.execute { turn.pass() }
            let calls = (0..<50).map { number in
                Task.immediate { try await connection.send(RedisCommand("ECHO", [.integer(Int64(number))])).text }
            }
            turn.open()
            for (number, call) in calls.enumerated() { #expect(try await call.value == "\(number)") }
            #expect(try segmentsSent(over: socket.descriptor) - before == 1)

            // An idle connection does not wait for more commands.
            _ = try await connection.send(RedisCommand("ECHO", ["x"]))
            #expect(try segmentsSent(over: socket.descriptor) - before == 2)
            await connection.close()
        }

        /// `tcpi_data_segs_out` of Linux's `tcp_info`, which glibc's header does not have.
        private func segmentsSent(over descriptor: Int32) throws -> UInt32 {
            var info = [UInt32](repeating: 0, count: 64)
            var length = socklen_t(info.count * 4)
            try #require(getsockopt(descriptor, Int32(IPPROTO_TCP), TCP_INFO, &info, &length) == 0)
            try #require(length >= 160)
            return info[39]
        }
    }
}

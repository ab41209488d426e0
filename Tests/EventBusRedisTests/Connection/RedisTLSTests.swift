import EventBus
import Glibc
import Testing

@testable import EventBusRedis

extension RedisTests {
    @Suite(.timeLimit(.minutes(3)))
    struct RedisTLSTests {
        /// A server with a port for TLS beside the plain one.
        private struct TLSServer: Sendable {
            let server: RedisServer
            let port: Int
            let certificates: TestCertificates

            /// Starts a server that has the certificate with this name.
            init(
                certificate: String = "server",
                requiresCertificate: Bool = false,
                options: [String] = []
            ) async throws {
                certificates = try await TestCertificates.shared.value
                port = try freePort()
                server = try await RedisServer(
                    options: [
                        "--tls-port", "\(port)", "--tls-cert-file", certificates.certificate(certificate),
                        "--tls-key-file", certificates.key(certificate), "--tls-ca-cert-file",
                        certificates.certificate("ca"), "--tls-auth-clients", requiresCertificate ? "yes" : "no",
                    ] + options
                )
            }

            func client(
                host: String = "localhost",
                _ change: (inout RedisConfiguration.TLS) -> Void = { _ in }
            ) throws -> RedisClient {
                var tls = RedisConfiguration.TLS(caFile: certificates.certificate("ca"))
                change(&tls)
                var configuration = RedisConfiguration(endpoint: .tcp(host: host, port: port), tls: tls)
                configuration.reconnect.maximum = .milliseconds(100)
                configuration.commandTimeout = .seconds(20)
                return try RedisClient(configuration, logger: .silent)
            }
        }

        private func expectRefusal(
            _ words: String...,
            code: EventBusError.Code = .unavailable,
            by client: RedisClient,
            sourceLocation: SourceLocation = #_sourceLocation
        ) async {
            let error = await #expect(throws: EventBusError.self, sourceLocation: sourceLocation) {
                try await client.ping()
            }
            #expect(error?.code == code, sourceLocation: sourceLocation)
            let text = error.map { "\($0)" } ?? ""
            #expect(words.contains { text.contains($0) }, "\(text)", sourceLocation: sourceLocation)
            await client.close()
        }

        @Test(arguments: ["localhost", "127.0.0.1"])
        func `values of every size pass in both directions, one by one and many at once`(host: String) async throws {
            let server = try await TLSServer()
            let client = try server.client(host: host)
            // Of a length that does not divide any size, so that a lost or repeated record is noticed.
            let piece = (0..<9973).map { _ in UInt8.random(in: .min ... .max) }
            for size in [0, 1, 1000, 16_383, 16_384, 16_385, 100_000, 5_000_000] {
                var bytes: [UInt8] = []
                while bytes.count < size { bytes += piece.prefix(size - bytes.count) }
                _ = try await client.send("SET", "value", .bytes(bytes))
                #expect(try await client.send("GET", "value").bytes == bytes, "\(size) bytes")
            }
            let texts = (0..<2000).map { String(repeating: "x", count: $0) }
            let commands = texts.map { RedisCommand("ECHO", [.text($0)]) }
            #expect(try await client.send(contentsOf: commands).map(\.text) == texts)
            await client.close()
        }

        @Test(arguments: ["TLSv1.1", "TLSv1.2", "TLSv1.3"])
        func `a server with TLS 1.2 or later is used, and an older one refused`(version: String) async throws {
            // At its lowest level of security, at which it does not refuse the old version itself.
            let server = try await TLSServer(
                options: ["--tls-protocols", version, "--tls-ciphers", "DEFAULT@SECLEVEL=0"]
            )
            let client = try server.client()
            guard version == "TLSv1.1" else { return try await client.ping() }
            await expectRefusal("version", "protocol", by: client)
        }

        @Test func `locks and caches work over TLS`() async throws {
            let server = try await TLSServer()
            let (client, other) = (try server.client(), try server.client())
            let lock = RedisLock(client)
            try await withThrowingTaskGroup(of: Void.self) { group in
                for _ in 0..<20 { group.addTask { try await lock.withLock("tls", wait: .seconds(60)) { _ in } } }
                try await group.waitForAll()
            }
            let (cache, writer) = (RedisCache(client), RedisCache(other))
            for number in 1...3 {
                try await writer.set(number, for: "tls")
                try await eventually("the change should be noticed") {
                    try await cache.value(for: "tls", as: Int.self) { 0 } == number
                }
            }
        }

        @Test func `it reconnects after the connection was cut`() async throws {
            let server = try await TLSServer()
            let client = try server.client()
            try await client.ping()
            let admin = try server.server.client()
            _ = try await admin.send(RedisCommand("CLIENT", ["KILL", "TYPE", "normal", "SKIPME", "yes"]))
            try await eventually("it should reconnect") { (try? await client.ping()) != nil }
        }

        @Test func `a certificate of an authority that is not trusted is refused`() async throws {
            let server = try await TLSServer()
            await expectRefusal(
                "certificate",
                by: try server.client { $0.caFile = server.certificates.certificate("other") }
            )
            await expectRefusal("certificate", by: try server.client { $0.caFile = nil })
        }

        @Test func `a certificate for another host is refused, unless the host is to be another`() async throws {
            let server = try await TLSServer(certificate: "elsewhere")
            await expectRefusal("mismatch", by: try server.client())
            await expectRefusal("mismatch", by: try server.client(host: "127.0.0.1"))
            try await server.client { $0.serverName = "redis.example" }.ping()
        }

        @Test func `an expired certificate is refused, unless verification is skipped`() async throws {
            let server = try await TLSServer(certificate: "expired")
            await expectRefusal("expired", by: try server.client())
            try await server.client { $0.insecureSkipsVerification = true }.ping()
        }

        @Test func `a server that requires a certificate gets ours, and refuses a client without one`() async throws {
            let server = try await TLSServer(requiresCertificate: true)
            await expectRefusal("certificate", "closed", "reset", by: try server.client())
            try await server.client {
                $0.certificateFile = server.certificates.certificate("client")
                $0.keyFile = server.certificates.key("locked")
                $0.keyPassword = "sesame"
            }.ping()
        }

        @Test func `a file that cannot be used is named, and the password of a key never shown`() async throws {
            let server = try await TLSServer(requiresCertificate: true)
            await expectRefusal(
                "no-such-file",
                code: .invalidConfiguration,
                by: try server.client { $0.caFile = "/no-such-file" }
            )
            for password in ["wrong-canary", nil] {
                let client = try server.client {
                    $0.certificateFile = server.certificates.certificate("client")
                    $0.keyFile = server.certificates.key("locked")
                    $0.keyPassword = password
                }
                let error = await #expect(throws: EventBusError.self) { try await client.ping() }
                #expect(error?.code == .invalidConfiguration)
                let text = "\(try #require(error)) \(client.configuration) \(await client.health())"
                #expect(text.contains("locked.key"))
                #expect(!text.contains("canary"))
                await client.close()
            }
        }

        @Test func `the trusted authorities are read once, and again after their file has changed`() async throws {
            let server = try await TLSServer()
            let path = "/tmp/eventbus-authorities-\(EventID())"
            #expect(symlink(server.certificates.certificate("ca"), path) == 0)
            defer { unlink(path) }
            let settings = RedisConfiguration.TLS(caFile: path)
            #expect(TLSAuthorities.needsReading(settings))
            for _ in 0..<2 {
                let client = try server.client { $0.caFile = path }
                try await client.ping()
                #expect(!TLSAuthorities.needsReading(settings))
                await client.close()
            }
            #expect(unlink(path) == 0)
            #expect(symlink(server.certificates.certificate("other"), path) == 0)
            #expect(TLSAuthorities.needsReading(settings))
            await expectRefusal("certificate", by: try server.client { $0.caFile = path })
        }

        @Test func `a server without TLS is refused, and so is one that does not answer`() async throws {
            let server = try await TLSServer()
            func client(port: Int) throws -> RedisClient {
                var configuration = RedisConfiguration(
                    endpoint: .tcp(host: "localhost", port: port),
                    tls: RedisConfiguration.TLS(caFile: server.certificates.certificate("ca"))
                )
                configuration.connectTimeout = .milliseconds(500)
                configuration.commandTimeout = .seconds(20)
                return try RedisClient(configuration, logger: .silent)
            }
            await expectRefusal("without TLS", "wrong version number", by: try client(port: server.server.port))
            let port = try freePort()
            let listener = try #require(try RawListener(port: port))
            await expectRefusal("did not answer", by: try client(port: port))
            listener.close()
        }
    }
}

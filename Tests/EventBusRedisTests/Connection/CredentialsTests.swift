import EventBus
import Testing

@testable import EventBusRedis

extension RedisTests {
    @Suite(.timeLimit(.minutes(2)))
    struct CredentialsTests {
        @Test func `each login asks for the credentials, so a rotated password requires no restart`() async throws {
            let server = try await RedisServer("--requirepass", "first")
            let (password, logins) = (Shared("first"), Shared(0))
            let client = try server.client {
                $0.credentialsProvider = {
                    logins.change { $0 += 1 }
                    return .init(password: password.value)
                }
            }
            // Each of both connections logs in.
            try await client.ping()
            #expect(logins.value == 2)
            try await client.ping()
            #expect(logins.value == 2)

            password.change { $0 = "second" }
            _ = try await client.send(RedisCommand("CONFIG", ["SET", "requirepass", "second"]))
            let admin = try server.client { $0.credentials = .init(password: "second") }
            _ = try await admin.send(RedisCommand("CLIENT", ["KILL", "TYPE", "normal", "SKIPME", "yes"]))
            try await eventually("it should log in with the new password") {
                guard logins.value > 2 else { return false }
                return (try? await client.ping()) != nil
            }
        }

        @Test func `a connection that has lost its login logs in again`() async throws {
            let server = try await RedisServer("--requirepass", "secret")
            let logins = Shared(0)
            let client = try server.client {
                $0.credentialsProvider = {
                    logins.change { $0 += 1 }
                    return .init(password: "secret")
                }
            }
            _ = try await client.send(RedisCommand("RESET"))
            let error = await #expect(throws: EventBusError.self) { _ = try await client.send("GET", "key") }
            #expect(error?.code == .unavailable)
            #expect((error?.underlying as? RedisServerError)?.kind == "NOAUTH")
            try await eventually("it should log in again") { (try? await client.send("GET", "key")) != nil }
            #expect(logins.value == 2)
        }

        @Test func `a wait, and a candidate, outlive a rotation of the password`() async throws {
            let server = try await RedisServer("--requirepass", "first")
            let password = Shared("first")
            let client = try server.client { $0.credentialsProvider = { .init(password: password.value) } }
            let lock = RedisLock(client)
            let keys = ["waited", "led"].map { LockKeys(prefix: "eventbus", resource: $0) }
            for key in keys { _ = try await client.send("SET", .text(key.holder), "other.1", "PX", 600_000) }
            let waiting = Task { try await lock.acquire("waited", ttl: .seconds(60), wait: .seconds(60)) }
            let leading = Task { try await lock.lead("led") { $0.fencingToken } }
            for key in keys {
                try await eventually("they should stand in line") {
                    try await client.send("ZCARD", .text(key.base + ":w")).integer == 1
                }
            }
            // The server knows the new password before the client does.
            let admin = try server.client { $0.credentials = .init(password: "second") }
            _ = try await client.send("CONFIG", "SET", "requirepass", "second")
            _ = try await admin.send(RedisCommand("CLIENT", ["KILL", "TYPE", "normal", "SKIPME", "yes"]))
            try await eventually("the old password should be refused") {
                let refusal = client.connection.queue.refusal
                return (refusal?.underlying as? RedisServerError)?.kind == "WRONGPASS"
            }
            let refused = await #expect(throws: EventBusError.self) { _ = try await client.send("GET", "key") }
            #expect(refused?.code == .unavailable)
            password.change { $0 = "second" }
            for key in keys { _ = try await admin.send("DEL", .text(key.holder)) }
            try await lock.release(try await waiting.value)
            #expect(try await leading.value > 0)
        }

        @Test func `without a closure for the password, a refused login is final`() async throws {
            let server = try await RedisServer("--requirepass", "first")
            let client = try server.client { $0.credentials = .init(password: "wrong") }
            let error = await #expect(throws: EventBusError.self) {
                _ = try await RedisLock(client).acquire("sku", ttl: .seconds(60), wait: .seconds(60))
            }
            #expect(error?.code == .authenticationFailed)
        }

        @Test func `a user whose password comes from a closure has that user's permissions`() async throws {
            let server = try await RedisServer()
            let admin = try server.client()
            _ = try await admin.send(RedisCommand("ACL", ["SETUSER", "limited", "on", ">secret", "+ping"]))
            let client = try server.client {
                $0.credentialsProvider = { .init(user: "limited", password: "secret") }
            }
            try await client.ping()
            let error = await #expect(throws: EventBusError.self) { _ = try await client.send("GET", "key") }
            #expect(error?.code == .accessRefused)
        }

        @Test func `a failure to obtain the credentials is the error, and is retried`() async throws {
            struct VaultIsSealed: Error {}
            let server = try await RedisServer("--requirepass", "secret")
            let isSealed = Shared(true)
            let client = try server.client {
                $0.credentialsProvider = {
                    if isSealed.value { throw VaultIsSealed() }
                    return .init(password: "secret")
                }
            }
            let error = await #expect(throws: EventBusError.self) { try await client.ping() }
            #expect(error?.code == .unavailable)
            #expect(error?.underlying is VaultIsSealed)
            isSealed.change { $0 = false }
            try await eventually("it should log in") { (try? await client.ping()) != nil }
        }

        @Test func `a closure that does not return is cancelled and called again`() async throws {
            let server = try await RedisServer("--requirepass", "secret")
            let (calls, cancellations) = (Shared(0), Shared(0))
            let client = try server.client {
                $0.connectTimeout = .milliseconds(200)
                $0.commandTimeout = .seconds(20)
                $0.credentialsProvider = {
                    calls.change { $0 += 1 }
                    guard calls.value < 2 else { return .init(password: "secret") }
                    do {
                        try await Signal().wait()
                    } catch {
                        cancellations.change { $0 += 1 }
                        throw error
                    }
                    return .init(password: "wrong")
                }
            }
            let error = await #expect(throws: EventBusError.self) { try await client.ping() }
            #expect(error?.code == .unavailable)
            #expect(error.map { "\($0)" }?.contains("credentials") == true)
            try await eventually("it should log in") { (try? await client.ping()) != nil }
            try await eventually("the first call should be cancelled") { cancellations.value == 1 }
        }
    }
}

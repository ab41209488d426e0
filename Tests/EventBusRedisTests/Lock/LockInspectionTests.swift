import EventBus
import Testing

@testable import EventBusRedis

extension RedisTests {
    @Suite(.timeLimit(.minutes(1)))
    struct LockInspectionTests {
        @Test(arguments: ["web-1.example.com:4711", "", "a.b c~d%{é}", String(repeating: "é", count: 200)])
        func `a holder is listed with the name of its process, whatever it contains`(name: String) async throws {
            let client = try await SharedRedis.client()
            let lock = RedisLock(client, prefix: "inspection", processName: name)
            let resource = "r-\(EventID())"
            let grant = try await lock.acquire(resource, ttl: .seconds(60), wait: .zero)
            let holder = try #require(try await RedisLock(client, prefix: "inspection").holder(of: resource))
            #expect(name.utf8.count > 64 ? name.hasPrefix(holder.process) : holder.process == name)
            #expect(holder.process.utf8.count <= 64)
            // Waiters of such a process are woken as well.
            let waiting = Task { try await lock.acquire(resource, ttl: .seconds(60), wait: .seconds(30)) }
            try await eventually("the waiter") { try await lock.holder(of: resource)?.waiters == 1 }
            try await lock.release(grant)
            try await lock.release(try await waiting.value)
        }

        @Test func `after the clock was set back, a dead holder can be forced out, and fences grow`()
            async throws
        {
            let server = try await RedisServer()
            let client = try server.client()
            let lock = RedisLock(client)
            let dead = try await lock.acquire("sku", ttl: .seconds(60), wait: .zero)
            // A server whose clock was an hour ahead when it granted the lease has these values.
            let keys = LockKeys(prefix: "eventbus", resource: "sku")
            _ = try await client.send("PEXPIRE", .text(keys.holder), 3_660_000)
            let fence = dead.fencingToken + 3_600_000_000
            _ = try await client.send("SET", .text(keys.base + ":f"), .text("\(fence)"), "PX", 10_860_000)
            let error = await #expect(throws: EventBusError.self) {
                _ = try await lock.acquire("sku", ttl: .seconds(60), wait: .milliseconds(200))
            }
            #expect(error?.code == .lockTimedOut)
            let waiting = Task { try await lock.acquire("sku", ttl: .seconds(60), wait: .seconds(60)) }
            try await eventually("it should stand in line") { try await lock.holder(of: "sku")?.waiters == 1 }
            #expect(try await lock.forceRelease(try #require(try await lock.holder(of: "sku"))))
            let next = try await waiting.value
            #expect(next.fencingToken > fence)
            // The next lease lasts no longer than it says.
            let left = try await client.send("PTTL", .text(keys.holder)).integer ?? .max
            #expect(left <= 60_000)
            try await lock.release(next)
        }

        @Test func `the holders of one prefix are listed, among other keys and locks`() async throws {
            let server = try await RedisServer()
            let client = try server.client()
            let prefix = "a*[b]?"
            let lock = RedisLock(client, prefix: prefix)
            let other = RedisLock(client, prefix: "aX[b]?")
            for number in 0..<40 {
                _ = try await lock.acquire("r\(number)", ttl: .seconds(60), wait: .zero)
                _ = try await other.acquire("r\(number)", ttl: .seconds(60), wait: .zero)
                _ = try await client.send("SET", .text("\(prefix):lock:{x\(number)}:l"), "no lock")
                _ = try await client.send("SET", .text("filler-\(number)"), "")
            }
            let holders = try await lock.holders()
            #expect(Set(holders.map(\.resource)) == Set((0..<40).map { "r\($0)" }))
            #expect(holders.count == 40)
        }
    }
}

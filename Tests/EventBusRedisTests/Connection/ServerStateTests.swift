import EventBus
import EventBusInMemory
import Testing

@testable import EventBusRedis

extension RedisTests {
    /// Servers that are reached and do not take commands for a while.
    @Suite(.timeLimit(.minutes(2)))
    struct ServerStateTests {
        private struct Placed: Event {
            static let topic: Topic = "test.placed"
            var number: Int
        }

        enum State: String, CaseIterable {
            case cannotSaveItsData
            case hasTooFewReplicas
            case runsAScript
            case isPaused
            case isFull
        }

        private func set(_ name: RedisArgument, _ value: RedisArgument, _ admin: RedisClient) async throws {
            _ = try await admin.send("CONFIG", "SET", name, value)
        }

        /// Brings a server into a state, and returns a function that ends the state.
        private func enter(
            _ state: State,
            _ server: RedisServer,
            _ admin: RedisClient
        ) async throws -> () async throws -> Void {
            switch state {
            case .cannotSaveItsData:
                try await set("dir", "/proc", admin)
                try await set("save", "3600 1", admin)
                _ = try await admin.send("BGSAVE")
                try await eventually("saving should fail") {
                    try await admin.send("INFO", "persistence").text?.contains("rdb_last_bgsave_status:err") == true
                }
                return { try await set("stop-writes-on-bgsave-error", "no", admin) }
            case .hasTooFewReplicas:
                try await set("min-replicas-to-write", "1", admin)
                return { try await set("min-replicas-to-write", "0", admin) }
            case .runsAScript:
                try await set("lua-time-limit", "5", admin)
                let caller = try RawConnection(waitingFor: server.port)
                caller.write(RedisCommand("EVAL", ["while true do end", 0]).wire)
                try await eventually("the server should be busy") { (try? await admin.send("GET", "key")) == nil }
                return {
                    _ = try await admin.send("SCRIPT", "KILL")
                    withExtendedLifetime(caller) {}
                }
            case .isPaused:
                _ = try await admin.send(RedisCommand("CLIENT", ["PAUSE", 600_000, "WRITE"]))
                return { _ = try await admin.send(RedisCommand("CLIENT", ["UNPAUSE"])) }
            case .isFull:
                try await set("maxmemory", "1", admin)
                return { try await set("maxmemory", "0", admin) }
            }
        }

        @Test(arguments: State.allCases)
        func `a server that takes no commands for a while delays releases, waits and events, and loses none`(
            state: State
        ) async throws {
            let server = try await RedisServer("--enable-protected-configs", "yes")
            let admin = try server.client()
            let client = try server.client { $0.commandTimeout = .seconds(1) }
            try await eventually("it should connect") { (try? await client.ping()) != nil }
            let (lock, cache) = (RedisLock(client), RedisCache(client))
            let effects = Shared<[Int: Int]>([:])
            let bus = EventBus(transport: .inMemory(InMemoryBroker()), logger: .silent)
            let options = SubscriptionOptions(
                retry: RetryPolicy(maximumAttempts: 1, initial: .milliseconds(10)),
                inbox: RedisInbox(client)
            )
            bus.subscribe(to: Placed.self, group: "g", name: "orders", options: options) { event, _ in
                effects.change { $0[event.number, default: 0] += 1 }
            }
            let held = try await lock.acquire("held", ttl: .seconds(600), wait: .zero)
            let abandoned = try await lock.acquire("abandoned", ttl: .seconds(600), wait: .zero)
            try await bus.withRunning {
                try await bus.publish(Placed(number: 0))
                try await eventually("the first event should be handled") { effects.value[0] == 1 }
                let leave = try await enter(state, server, admin)
                lock.abandon(abandoned)
                // Locks can be released on a server that is full.
                if state == .isFull {
                    try await lock.release(held)
                } else {
                    await #expect(throws: EventBusError.self) { try await lock.release(held) }
                }
                let waiting = Task { try await lock.acquire("waiting", ttl: .seconds(600), wait: .seconds(600)) }
                #expect(try await cache.value(for: "key", as: Int.self) { 1 } == 1)
                for number in 1..<50 { try await bus.publish(Placed(number: number)) }
                try await eventually("the subscription should not be ready") { !bus.health().isReady }

                try await leave()
                // A full server refuses a lock at once, instead of using the wait.
                if state != .isFull { _ = try await waiting.value }
                for resource in ["held", "abandoned"] {
                    _ = try await lock.acquire(resource, ttl: .seconds(600), wait: .seconds(60))
                }
                try await eventually("all events should be handled", within: .seconds(60)) { effects.value.count == 50 }
                #expect(effects.value.values.allSatisfy { $0 == 1 })
                #expect(try await bus.deadLetters(of: "g").count() == 0)
                try await eventually("the bus should be ready") { bus.health().isReady }
            }
        }

        @Test func `a server that cannot save its data is used for what it still does, and health tells it`()
            async throws
        {
            let server = try await RedisServer("--enable-protected-configs", "yes")
            let admin = try server.client()
            let cache = RedisCache(admin)
            try await cache.set(0, for: "stored")
            let leave = try await enter(.cannotSaveItsData, server, admin)

            let client = try server.client { $0.heartbeat = .milliseconds(50) }
            #expect(try await client.send("GET", "key") == .null)
            let (began, ended) = (Shared(0), Shared(0))
            let subscriber = client.subscriber(channels: ["x"]) { event in
                switch event {
                case .began: began.change { $0 += 1 }
                case .ended: ended.change { $0 += 1 }
                case .message: break
                }
            }
            subscriber.open()
            try await eventually("messages should arrive") { began.value == 1 }
            let before = try await refusedPings(admin)
            try await eventually("heartbeats should be refused") { try await refusedPings(admin) >= before + 5 }
            #expect(began.value == 1 && ended.value == 0)
            #expect(try await RedisCache(client).value(for: "stored", as: Int.self) { 1 } == 0)

            let health = await client.health()
            #expect(health.status == .notReady)
            #expect(health.reason?.contains("MISCONF") == true, "\(health)")
            try await leave()
            #expect(await client.health() == ComponentHealth(name: "redis", status: .ready))
        }

        private func refusedPings(_ admin: RedisClient) async throws -> Int {
            let info = try await admin.send("INFO", "commandstats").text ?? ""
            let line = info.split(whereSeparator: \.isNewline).first { $0.hasPrefix("cmdstat_ping:") } ?? ""
            let count = line.split(separator: ",").first { $0.hasPrefix("rejected_calls=") }
            return count.flatMap { Int($0.dropFirst("rejected_calls=".count)) } ?? 0
        }

        @Test func `readers ask a server again that answers but cannot save its data`() async throws {
            let server = try await RedisServer("--enable-protected-configs", "yes")
            let admin = try server.client()
            let proxy = try RedisProxy(to: server.port)
            let options = RedisCacheOptions(firstLevelCapacity: 0, readTimeout: .milliseconds(200))
            let cache = RedisCache(try proxy.client { $0.heartbeat = .seconds(60) }, options: options)
            try await cache.set(0, for: "stored")
            proxy.replies.close()
            #expect(try await cache.value(for: "stored", as: Int.self) { 1 } == 1)
            let leave = try await enter(.cannotSaveItsData, server, admin)
            try await eventually("the server should be asked for life") { try await refusedPings(admin) >= 2 }
            proxy.replies.open()
            try await eventually("the server should be asked again") {
                try await cache.value(for: "stored", as: Int.self) { 1 } == 0
            }
            try await leave()
        }

        @Test(arguments: [State.hasTooFewReplicas, .isFull])
        func `health tells which writes a server has refused lately, and remains ready`(state: State) async throws {
            let server = try await RedisServer("--maxmemory-policy", "noeviction")
            let admin = try server.client()
            let client = try server.client()
            let leave = try await enter(state, server, admin)
            await #expect(throws: EventBusError.self) { try await client.send("SET", "key", "value") }
            let health = await client.health()
            #expect(health.status == .ready)
            #expect(health.reason?.contains(state == .isFull ? "OOM" : "NOREPLICAS") == true, "\(health)")
            try await leave()
        }
    }
}

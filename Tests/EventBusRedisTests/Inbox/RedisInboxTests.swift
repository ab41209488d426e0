import EventBus
import Glibc
import Testing

@testable import EventBusRedis

extension RedisTests {
    @Suite(.timeLimit(.minutes(2)))
    struct RedisInboxTests {
        private static func key(_ id: EventID, subscription: String = "s.s") -> InboxKey {
            InboxKey(topic: "test.event", eventID: id, subscription: subscription)
        }

        @Test func `a claim that is sent twice is one claim`() async throws {
            let client = try await SharedRedis.client()
            let key = ["inbox-twice-\(EventID())"]
            let arguments: [RedisArgument] = [60_000, "request-1"]
            let first = try await client.run(InboxScripts.begin, keys: key, arguments, isIdempotent: true)
            let again = try await client.run(InboxScripts.begin, keys: key, arguments, isIdempotent: true)
            #expect(first.array?.first?.text == "new")
            #expect(again == first)
            let other = try await client.run(InboxScripts.begin, keys: key, [60_000, "request-2"], isIdempotent: true)
            #expect(other.array?.first?.text == "inProgress")
        }

        @Test func `a record that is no record is replaced`() async throws {
            let client = try await SharedRedis.client()
            let key = "inbox-odd-\(EventID())"
            _ = try await client.send(RedisCommand("SET", [.text(key), "nonsense"]))
            let reply = try await client.run(InboxScripts.begin, keys: [key], [60_000, "x"], isIdempotent: true)
            #expect(reply.array?.first?.text == "new")
            _ = try await client.send(RedisCommand("DEL", [.text(key)]))
        }

        @Test func `a claim that seems to end later than its lease allows ends one lease from now`() async throws {
            let client = try await SharedRedis.client()
            let key = "inbox-back-\(EventID())"
            // Made by a server whose clock was an hour ahead.
            let reading = try await client.send(RedisCommand("TIME", []))
            let time = try #require(reading.array?.first?.text.flatMap { Int64($0) })
            let record = "p:1:\((time + 3600) * 1000):30000:request-1"
            _ = try await client.send(RedisCommand("SET", [.text(key), .text(record), "PX", 7_200_000]))
            let reply = try await client.run(InboxScripts.begin, keys: [key], [5000, "request-2"], isIdempotent: true)
            #expect(reply.array?.first?.text == "inProgress")
            #expect(reply.array?.last?.integer == 30_000)
            let again = try await client.run(InboxScripts.begin, keys: [key], [5000, "request-3"], isIdempotent: true)
            #expect(try #require(again.array?.last?.integer) <= 30_000)
            _ = try await client.send(RedisCommand("DEL", [.text(key)]))
        }

        @Test func `on a server that is full no event is claimed, and claims are renewed, completed and abandoned`()
            async throws
        {
            let server = try await RedisServer("--maxmemory-policy", "noeviction")
            let admin = try server.client()
            let inbox = RedisInbox(try server.client())
            let keys = (0..<3).map { _ in Self.key(EventID()) }
            var claims: [InboxClaim] = []
            for key in keys {
                guard case .new(let claim) = try await inbox.begin(key, lease: .seconds(300)) else {
                    Issue.record("\(key) is claimed already")
                    return
                }
                claims.append(claim)
            }
            _ = try await admin.send(RedisCommand("CONFIG", ["SET", "maxmemory", "1"]))
            let refused = await #expect(throws: EventBusError.self) {
                _ = try await inbox.begin(Self.key(EventID()), lease: .seconds(300))
            }
            #expect(refused?.code == .unavailable && refused?.isOutOfMemory == true)
            try await inbox.renew(claims[0], lease: .seconds(300))
            try await inbox.complete(claims[0], retention: .seconds(300))
            try await inbox.complete(claims[1], retention: .seconds(300))
            try await inbox.abandon(claims[2])
            _ = try await admin.send(RedisCommand("CONFIG", ["SET", "maxmemory", "0"]))
            for key in keys[..<2] { #expect(try await inbox.begin(key, lease: .seconds(300)) == .completed) }
            guard case .new = try await inbox.begin(keys[2], lease: .seconds(300)) else {
                Issue.record("the abandoned claim is still in force")
                return
            }
        }

        @Test func `on a server that is full nothing is recorded of events that it does not know`() async throws {
            let server = try await RedisServer("--maxmemory-policy", "noeviction")
            let client = try server.client()
            _ = try await client.send("SET", "known", "p:1:1:30000:request")
            _ = try await client.send(RedisCommand("CONFIG", ["SET", "maxmemory", "1"]))
            for number in 0..<1000 {
                for (script, arguments) in [
                    (InboxScripts.withdraw, ["request"]), (InboxScripts.complete, ["7", 60_000, "digest"]),
                ] as [(RedisScript, [RedisArgument])] {
                    let error = await #expect(throws: EventBusError.self) {
                        let key = "inbox-unknown-\(number)"
                        _ = try await client.run(script, keys: [key], arguments, isIdempotent: true)
                    }
                    #expect(error?.isOutOfMemory == true)
                }
            }
            #expect(try await client.send("DBSIZE").integer == 1)
            _ = try await client.run(InboxScripts.withdraw, keys: ["known"], ["request"], isIdempotent: true)
            #expect(try await client.send("GET", "known").text == "a:1:0:0:request")
        }

        @Test func `a claim whose answer never came is withdrawn, so that the event can be claimed elsewhere`()
            async throws
        {
            let server = try await RedisServer()
            let proxy = try RedisProxy(to: server.port)
            let inbox = RedisInbox(try proxy.client { $0.commandTimeout = .milliseconds(100) })
            let other = RedisInbox(try server.client())
            let id = EventID()
            _ = try await inbox.begin(Self.key(EventID()), lease: .seconds(300))
            proxy.replies.close()
            await #expect {
                _ = try await inbox.begin(Self.key(id), lease: .seconds(300))
            } throws: {
                ($0 as? EventBusError)?.code == .indeterminate
            }
            proxy.replies.open()
            try await eventually("the event should be claimable") {
                guard case .new(let claim) = try await other.begin(Self.key(id), lease: .seconds(300)) else {
                    return false
                }
                try await other.complete(claim, retention: .seconds(300))
                return true
            }
        }

        @Test func `an abandonment that was lost is repeated, so that the event can be claimed elsewhere`() async throws
        {
            let server = try await RedisServer()
            let proxy = try RedisProxy(to: server.port)
            let inbox = RedisInbox(try proxy.client { $0.commandTimeout = .milliseconds(100) })
            let other = RedisInbox(try server.client())
            let key = Self.key(EventID())
            guard case .new(let claim) = try await inbox.begin(key, lease: .seconds(300)) else {
                Issue.record("a new event was claimed already")
                return
            }
            proxy.requests.close()
            await #expect(throws: EventBusError.self) { try await inbox.abandon(claim) }
            proxy.hangUp()
            proxy.requests.open()
            try await eventually("the event should be claimable") {
                if case .new = try await other.begin(key, lease: .seconds(300)) { true } else { false }
            }
        }

        /// A driver that runs the scripts directly, for late and repeated requests.
        private struct Hands {
            let client: RedisClient
            let key = "inbox-hands-\(EventID())"

            func begin(_ request: String) async throws -> (String?, String?) {
                let reply = try await client.run(
                    InboxScripts.begin,
                    keys: [key],
                    [60_000, .text(request)],
                    isIdempotent: true
                )
                return (reply.array?.first?.text, reply.array?.last?.text)
            }

            func run(_ script: RedisScript, _ argument: String) async throws {
                _ = try await client.run(script, keys: [key], [.text(argument)], isIdempotent: true)
            }
        }

        @Test func `a request that was withdrawn before it arrived claims nothing`() async throws {
            let hands = Hands(client: try await SharedRedis.client())
            try await hands.run(InboxScripts.withdraw, "late")
            #expect(try await hands.begin("late").0 == "inProgress")
            #expect(try await hands.begin("other").0 == "new")
        }

        @Test func `a copy of a request that arrives after its claim was abandoned claims nothing`() async throws {
            let hands = Hands(client: try await SharedRedis.client())
            let (_, fence) = try await hands.begin("a")
            try await hands.run(InboxScripts.abandon, try #require(fence))
            #expect(try await hands.begin("a").0 == "inProgress")
            #expect(try await hands.begin("b").0 == "new")
        }

        @Test func `a withdrawal ends no claim but its own`() async throws {
            let hands = Hands(client: try await SharedRedis.client())
            #expect(try await hands.begin("a").0 == "new")
            try await hands.run(InboxScripts.withdraw, "b")
            #expect(try await hands.begin("c").0 == "inProgress")
            try await hands.run(InboxScripts.withdraw, "a")
            #expect(try await hands.begin("c").0 == "new")
        }

        @Test func `under duplicate delivery and kill -9 each second effect follows one whose record was lost`()
            async throws
        {
            let server = try await RedisServer()
            let port = server.port
            let client = try server.client()
            // Each is killed at some moment and replaced, and the replacement gets the unacknowledged events.
            var lost: [String: Set<String>] = [:]
            for round in 0..<11 {
                let isLast = round == 10
                let death: Death = isLast ? .none : round % 2 == 0 ? .afterEffect : .anywhere
                await #expect(processExitsWith: isLast ? .success : .signal(SIGKILL)) {
                    [port = port as Int, death = death as Death] in
                    repeat { try await Self.consume(port, death) } while death != .none
                }
                guard !isLast else { break }
                // Unrecorded effects of the dead process, which are effects of claims that are still in progress.
                for (id, fence) in try await unrecorded(client) { lost[id, default: []].insert(fence) }
            }
            let effects = try await effects(client)
            #expect(Set(effects.map(\.id)).count == 400)
            let seconds = Dictionary(grouping: effects, by: \.id).mapValues { $0.count - 1 }.filter { $0.value > 0 }
            print(
                "\(effects.count) effects of 400 events; records lost by ten deaths: \(lost.values.reduce(0) { $0 + $1.count })"
            )
            #expect(!lost.isEmpty, "nobody died between effect and record")
            #expect(seconds == lost.mapValues(\.count))
        }

        /// Returns the effects in order, each with its event and its claim.
        private func effects(_ client: RedisClient) async throws -> [(id: String, fence: String)] {
            let entries = try await client.send(RedisCommand("LRANGE", ["effects", 0, -1])).array ?? []
            return entries.compactMap { entry in
                let parts = entry.text?.split(separator: " ") ?? []
                return parts.count == 2 ? (String(parts[0]), String(parts[1])) : nil
            }
        }

        /// Returns the events whose last effect was made under a claim that is not completed.
        private func unrecorded(_ client: RedisClient) async throws -> [(id: String, fence: String)] {
            let last = Dictionary(try await effects(client).map { ($0.id, $0.fence) }) { $1 }
            var claims: [(String, String)] = []
            for (id, fence) in last {
                let key = "eventbus:inbox:\(RedisKeys.tag("test.effects", "test.event", id))"
                let record = try await client.send(RedisCommand("GET", [.text(key)])).text ?? ""
                if !record.hasPrefix("c:\(fence):") { claims.append((id, fence)) }
            }
            return claims
        }

        /// The moment of a consumer's death.
        private enum Death: String, Codable {
            case none
            /// Between an effect and its record.
            case afterEffect
            case anywhere
        }

        /// Handles each of 400 events, which are delivered to four lanes twice each.
        private static func consume(_ port: Int, _ death: Death) async throws {
            let client = try RedisClient(
                RedisConfiguration(endpoint: .tcp(host: "127.0.0.1", port: port)),
                logger: .silent
            )
            let inbox = RedisInbox(client)
            try await client.ping()
            let steps = Shared(0)
            // A step of some event, at which another thread kills this process while the lanes go on.
            let last = death == .anywhere ? Int.random(in: 1...400) : 0
            try await withThrowingTaskGroup(of: Void.self) { group in
                for lane in 0..<4 {
                    group.addTask {
                        for number in 0..<800 where number % 4 == lane {
                            let id = EventID("event-\(number / 2)")
                            // Another lane or a dead process may have a claim on it.
                            try await eventually("event \(number / 2) should be handled") {
                                steps.change { $0 += 1 }
                                if steps.value == last { onThread { kill(getpid(), SIGKILL) } }
                                return try await Self.handle(id, inbox, client, death)
                            }
                        }
                    }
                }
                try await group.waitForAll()
            }
        }

        /// Handles an event once. Returns `false` if another claim on it is active.
        private static func handle(
            _ id: EventID,
            _ inbox: RedisInbox,
            _ client: RedisClient,
            _ death: Death
        ) async throws -> Bool {
            switch try await inbox.begin(Self.key(id, subscription: "test.effects"), lease: .milliseconds(300)) {
            case .completed, .completedWithOtherPayload: return true
            case .inProgress: return false
            case .new(let claim):
                _ = try await client.send(RedisCommand("RPUSH", ["effects", .text("\(id.rawValue) \(claim.fence)")]))
                if death == .afterEffect, Int.random(in: 0..<20) == 0 { kill(getpid(), SIGKILL) }
                try await inbox.complete(claim, retention: .seconds(600))
                return true
            }
        }
    }
}

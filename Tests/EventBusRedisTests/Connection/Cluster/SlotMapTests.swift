import ConnectionThread
import DequeModule
import EventBus
import Testing

@testable import EventBusRedis

@Suite
struct SlotMapTests {
    @Test(arguments: [
        ("123456789", 12_739), ("", 0), ("{user1000}.following", 3_443), ("user1000", 3_443), ("foo{}{bar}", 8_363),
        ("foo{{bar}}zap", 4_015), ("{bar", 4_015), ("foo{bar}{zap}", 5_061), ("bar", 5_061),
    ])
    func `the slot of a key is that of the specification`(key: String, slot: Int) {
        #expect(HashSlot.of(key.utf8) == slot)
    }

    @Test func `the slot of a command is that of its first key`() {
        let slot = HashSlot.of("{a}:x".utf8)
        #expect(RedisCommand("GET", ["{a}:x"]).slot == slot)
        #expect(RedisCommand("PING").slot == nil)
        let script = RedisScript("return 1")
        #expect(script.call(["{a}:x", "{a}:y"], ["b"]).slot == slot)
        #expect(script.load(["{a}:x"], []).slot == slot)
        #expect(script.call([], ["{a}:x"]).slot == nil)
        #expect(RedisCommand("SET", [.bytes([0xFF, 0x0D, 0x0A]), "1"]).slot == HashSlot.of([0xFF, 0x0D, 0x0A]))
    }

    @Test func `the keys that one script accesses are in one slot, whatever their names contain`() {
        for name in ["sku-42", "}", "{", "{}", "a{b}c", "%7b", "", "ü{", "1:a"] {
            let cache = CacheKeys(prefix: "p")
            let entry = [cache.entry(name), cache.lease(name), cache.lease(name) + ":g"]
            for keys in [LockKeys(prefix: "p", resource: name).all, entry] {
                #expect(Set(keys.map { HashSlot.of($0.utf8) }).count == 1)
            }
        }
    }

    private func range(_ first: Int64, _ last: Int64, _ host: RedisValue, _ port: Int64) -> RedisValue {
        .array([.integer(first), .integer(last), .array([host, .integer(port), .bulk(Array("id".utf8))])])
    }

    @Test func `a map tells who serves a slot, also after a node named another one`() throws {
        let reply = RedisValue.array([
            range(0, 99, .bulk(Array("10.0.0.1".utf8)), 7000), range(200, 16_383, .null, 7001),
            range(100, 149, .bulk(Array("10.0.0.1".utf8)), 7000),
        ])
        var map = try #require(SlotMap(reply, askedAt: "10.0.0.9"))
        let (one, two) = (NodeAddress(host: "10.0.0.1", port: 7000), NodeAddress(host: "10.0.0.9", port: 7001))
        #expect(map.primaries == [one, two])
        #expect(map[0] == one && map[149] == one && map[150] == nil && map[16_383] == two)
        #expect(map.unservedCount == 50)
        let three = NodeAddress(host: "::1", port: 7002)
        #expect(map.move(5, to: three) && !map.move(5, to: three) && map[5] == three && map[6] == one)
        #expect(map.primaries == [one, two, three])
    }

    @Test(arguments: [
        RedisValue.null, .array([.integer(1)]), .array([.array([])]),
        .array([.array([.integer(0), .integer(16_384), .array([.null, .integer(1)])])]),
        .array([.array([.integer(5), .integer(4), .array([.null, .integer(1)])])]),
        .array([.array([.integer(-1), .integer(4), .array([.null, .integer(1)])])]),
        .array([.array([.integer(0), .integer(4), .array([.null, .integer(65_536)])])]),
    ])
    func `a map that makes no sense is none`(reply: RedisValue) {
        #expect(SlotMap(reply, askedAt: "h") == nil)
    }

    @Test func `redirections are recognized, and only those that make sense`() {
        func redirection(_ message: String) -> Redirection? { Redirection(.error(message), from: "h") }
        #expect(redirection("MOVED 42 10.0.0.1:7000") == .moved(slot: 42, NodeAddress(host: "10.0.0.1", port: 7000)))
        #expect(redirection("MOVED 42 ::1:7000") == .moved(slot: 42, NodeAddress(host: "::1", port: 7000)))
        #expect(redirection("ASK 42 :7000") == .ask(NodeAddress(host: "h", port: 7000)))
        #expect(redirection("ASK 42 ?:7000") == .ask(NodeAddress(host: "h", port: 7000)))
        #expect(redirection("TRYAGAIN Multiple keys request during rehashing of slot") == .tryAgain)
        #expect(redirection("CLUSTERDOWN The cluster is down") == .down)
        for message in [
            "MOVED", "MOVED 16384 h:1", "MOVED -1 h:1", "MOVED x h:1", "MOVED 1 h:0", "MOVED 1 h:65536", "MOVED 1 h",
            "ASK 1", "ERR MOVED 1 h:1", "",
        ] { #expect(redirection(message) == nil) }
        #expect(Redirection(.bulk(Array("MOVED 1 h:1".utf8)), from: "h") == nil)
    }

    @Test func `ASKING is sent directly before its command, and not without it`() {
        var traffic = CommandPipeline()
        var asking = RedisCommand("GET", ["a"])
        asking.isAsking = true
        let ended = PendingCommand(asking, timeout: 1)
        ended.cancel()
        var submitted: Deque = [
            ended, PendingCommand(RedisCommand("GET", ["b"]), timeout: 1), PendingCommand(asking, timeout: 1),
        ]
        traffic.admit(&submitted)
        let now = MonotonicTime(nanoseconds: 1000)
        // The limit comes to lie between the two.
        _ = traffic.sendWaiting(maximumInFlight: 2, maximumInFlightBytes: .max, at: now)
        let expected = [RedisCommand("GET", ["b"]), RedisCommand("ASKING"), asking].flatMap(\.wire)
        #expect(traffic.output == expected)
        #expect(traffic.inFlight.count == 3)
    }
}

import EventBus
import OrderService
import ServiceTestKit
import Synchronization
import Testing

@testable import OrderServer

@Suite("An idempotency key", .timeLimit(.minutes(2)))
struct IdempotencyTests {
    private let key: IdempotencyKey

    init() throws {
        key = try #require(IdempotencyKey("7d8a6a54-order of today"))
    }

    @Test("A hundred concurrent equal requests place one order, and all get its id")
    func concurrently() async throws {
        let scene = try Scene()
        let (draft, key) = (try OrderDraft.sample(), key)
        let placements = try await withThrowingTaskGroup(of: Placement.self) { group in
            for number in 0..<100 {
                group.addTask {
                    try await scene.store.place(draft, correlationID: CorrelationID("request-\(number)"), key: key)
                }
            }
            return try await group.reduce(into: []) { $0.append($1) }
        }
        #expect(Set(placements.map(\.record)).count == 1)
        #expect(placements.count { !$0.isReplay } == 1)
        #expect(try await scene.database.count(of: "orders") == 1)
        #expect(try await scene.database.outbox().count == 1)
    }

    @Test("Two services on one database place one order for one key")
    func twoServices() async throws {
        let file = try DatabaseFile()
        let scenes = try [Scene(database: file.open()), Scene(database: file.open())]
        let (draft, key) = (try OrderDraft.sample(), key)
        let placements = try await withThrowingTaskGroup(of: Placement.self) { group in
            for number in 0..<40 {
                group.addTask { try await scenes[number % 2].store.place(draft, correlationID: "c", key: key) }
            }
            return try await group.reduce(into: []) { $0.append($1) }
        }
        #expect(Set(placements.map(\.record.order.id)).count == 1)
        #expect(try await scenes[0].database.count(of: "orders") == 1)
    }

    @Test("Another order with the same key is refused, and the first one is kept")
    func conflict() async throws {
        let scene = try Scene()
        let first = try await scene.store.place(try .sample(2), correlationID: "c", key: key)
        await #expect(throws: IdempotencyConflict(orderID: first.record.order.id)) {
            try await scene.store.place(try .sample(3), correlationID: "c", key: key)
        }
        #expect(try await scene.database.count(of: "orders") == 1)
    }

    @Test("A repeated request gets the first response, although the order has progressed")
    func replayAfterTheEnd() async throws {
        let scene = try Scene()
        let first = try await scene.store.place(try .sample(), correlationID: "first", key: key)
        _ = try await scene.store.end(first.record.order.id, as: .confirmed, handling: nil)
        let again = try await scene.store.place(try .sample(), correlationID: "second", key: key)
        #expect(again.isReplay)
        #expect(again.record == first.record)
    }

    @Test("Equal orders without a key, or with different ones, are different orders")
    func withoutKey() async throws {
        let scene = try Scene()
        for key in [nil, nil, IdempotencyKey("a"), IdempotencyKey("b")] {
            #expect(try await !scene.store.place(try .sample(), correlationID: "c", key: key).isReplay)
        }
        #expect(try await scene.database.count(of: "orders") == 4)
    }

    @Test("A key is forgotten when its time is over, and so are expired others")
    func retention() async throws {
        let time = TestTime()
        let scene = try Scene(now: time.now)
        let first = try await scene.store.place(try .sample(), correlationID: "c", key: key)
        for number in 0..<30 {
            _ = try await scene.store.place(try .sample(), correlationID: "c", key: IdempotencyKey("other \(number)"))
        }
        time.advance(by: .seconds(24 * 60 * 60))
        #expect(try await scene.store.place(try .sample(), correlationID: "c", key: key).isReplay)
        time.advance(by: .milliseconds(1))
        let second = try await scene.store.place(try .sample(3), correlationID: "c", key: key)
        #expect(!second.isReplay)
        #expect(second.record.order.id != first.record.order.id)
        _ = try await scene.store.place(try .sample(), correlationID: "c", key: IdempotencyKey("last"))
        #expect(try await scene.database.count(of: "idempotency_keys") == 2)
    }

    @Test(
        "A key is 1 to 255 printable ASCII characters",
        arguments: [
            ("a", true), (String(repeating: "a", count: 255), true), ("a b~!", true), ("", false),
            (String(repeating: "a", count: 256), false), ("ä", false), ("a\u{7F}", false), ("a\nb", false),
        ]
    )
    func form(text: String, isKey: Bool) {
        #expect((IdempotencyKey(text) != nil) == isKey)
    }
}

/// A time of day that a test advances.
private final class TestTime: Sendable {
    private let milliseconds = Mutex<Int64>(1_767_225_600_000)

    var now: @Sendable () -> EventTime { { self.milliseconds.withLock { EventTime(milliseconds: $0) } } }

    func advance(by duration: Duration) {
        milliseconds.withLock {
            $0 += duration.components.seconds * 1000 + duration.components.attoseconds / 1_000_000_000_000_000
        }
    }
}

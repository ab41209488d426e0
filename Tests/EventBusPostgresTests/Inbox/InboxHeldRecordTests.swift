import EventBus
import EventBusTesting
import Testing

@testable import EventBusPostgres

@Suite("The inbox in PostgreSQL, while a transaction holds a record", .timeLimit(.minutes(2)))
struct InboxHeldRecordTests {
    /// An event that is claimed, and whose record a transaction of a handler holds.
    private struct Held {
        let inbox: PostgresInbox
        let key = InboxKey(topic: "order.placed", eventID: EventID(), subscription: "g.h")
        let claim: InboxClaim
        let session: TestSession

        init(lease: Duration = .seconds(60)) async throws {
            let database = try await TestPostgres.database()
            inbox = PostgresInbox(database.client)
            session = try database.session()
            claim = try #require(try await inbox.begin(key, lease: lease).claim)
            try await session.execute("BEGIN")
            #expect(try await session.execute(inbox.row(for: key))[0].affectedCount == 1)
        }

        /// Claims, renews and completes another event, which would wait behind a statement that waits for the record.
        func expectOthersProceed() async throws {
            let key = InboxKey(topic: "order.placed", eventID: EventID(), subscription: "g.h")
            let claim = try #require(try await inbox.begin(key, lease: .seconds(60)).claim)
            try await inbox.renew(claim, lease: .seconds(60))
            try await inbox.complete(claim, retention: .seconds(60))
            #expect(try await inbox.begin(key, lease: .seconds(60)) == .completed)
        }

        func end(_ statement: String) async throws {
            try await session.execute(statement)
            await session.close()
        }
    }

    @Test("A renewal does not wait for the handler's own transaction, and others do not wait behind it")
    func renews() async throws {
        let held = try await Held()
        try await held.inbox.renew(held.claim, lease: .seconds(60))
        try await held.expectOthersProceed()
        try await held.end("COMMIT")
        try await held.inbox.renew(held.claim, lease: .seconds(60))
        try await held.inbox.complete(held.claim, retention: .seconds(60))
        #expect(try await held.inbox.begin(held.key, lease: .seconds(1)) == .completed)
    }

    @Test("A duplicate is in progress until the transaction has ended", arguments: ["COMMIT", "ROLLBACK"])
    func begins(end: String) async throws {
        let held = try await Held()
        #expect(try await held.inbox.begin(held.key, lease: .seconds(1)).claim == nil)
        try await held.expectOthersProceed()
        try await held.end(end)
        if end == "ROLLBACK" { try await held.inbox.abandon(held.claim) }
        let decision = try await held.inbox.begin(held.key, lease: .seconds(1))
        if end == "COMMIT" { #expect(decision == .completed) } else { #expect(decision.claim != nil) }
    }

    @Test("A claim whose lease ends stays active while the transaction is open")
    func outlivesLease() async throws {
        let held = try await Held(lease: .milliseconds(50))
        try await eventually("the lease ends") {
            try await held.inbox.begin(held.key, lease: .seconds(60)) == .inProgress(retryAfter: .milliseconds(100))
        }
        try await held.inbox.renew(held.claim, lease: .seconds(60))
        try await held.end("ROLLBACK")
        let other = try #require(try await held.inbox.begin(held.key, lease: .seconds(60)).claim)
        let error = await #expect(throws: EventBusError.self) {
            try await held.inbox.renew(held.claim, lease: .seconds(60))
        }
        #expect(error?.code == .leaseExpired)
        try await held.inbox.complete(other, retention: .seconds(60))
    }

    @Test("A completion is refused for the moment, and recorded when the transaction has ended")
    func completes() async throws {
        let held = try await Held()
        let error = await #expect(throws: EventBusError.self) {
            try await held.inbox.complete(held.claim, retention: .seconds(60))
        }
        #expect(error?.code == .unavailable)
        try await held.expectOthersProceed()
        try await held.end("ROLLBACK")
        try await held.inbox.complete(held.claim, retention: .seconds(60))
        #expect(try await held.inbox.begin(held.key, lease: .seconds(1)) == .completed)
    }

    @Test("An abandonment waits for the transaction without delaying others")
    func abandons() async throws {
        let held = try await Held()
        let (inbox, claim) = (held.inbox, held.claim)
        let abandoning = Task { try await inbox.abandon(claim) }
        for _ in 0..<20 { try await held.expectOthersProceed() }
        try await held.end("ROLLBACK")
        try await abandoning.value
        #expect(try await inbox.begin(held.key, lease: .seconds(1)).claim != nil)
    }

    @Test("A record that a transaction has added and not committed delays nobody for long")
    func addedRecord() async throws {
        let held = try await Held()
        let key = InboxKey(topic: "order.placed", eventID: EventID(), subscription: "g.h")
        #expect(try await held.session.execute(held.inbox.row(for: key))[0].affectedCount == 1)
        #expect(try await held.inbox.begin(key, lease: .seconds(60)).claim == nil)
        try await held.expectOthersProceed()
        try await held.end("ROLLBACK")
        #expect(try await held.inbox.begin(key, lease: .seconds(60)).claim != nil)
    }
}

extension InboxDecision {
    /// The claim, if the event is new.
    fileprivate var claim: InboxClaim? {
        if case .new(let claim) = self { claim } else { nil }
    }
}

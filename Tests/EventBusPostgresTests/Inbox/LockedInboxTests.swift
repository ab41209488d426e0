import EventBus
import EventBusTesting
import Testing

@testable import EventBusPostgres

@Suite("The inbox in PostgreSQL, while others lock its table or take over a claim", .timeLimit(.minutes(2)))
struct LockedInboxTests {
    private static func key() -> InboxKey {
        InboxKey(topic: "order.placed", eventID: EventID(), subscription: "g.h")
    }

    @Test("While the table is locked, the inbox is unavailable, and no event is in progress")
    func lockedTable() async throws {
        let database = try await TestPostgres.database()
        let (inbox, session) = (PostgresInbox(database.client), try database.session())
        let claim = try #require(try await inbox.begin(Self.key(), lease: .seconds(60)).newClaim)
        try await session.execute("BEGIN")
        try await session.execute("LOCK TABLE eventbus_inbox IN ACCESS EXCLUSIVE MODE")
        let start = ContinuousClock.now
        for call in [
            { _ = try await inbox.begin(Self.key(), lease: .seconds(60)) },
            { try await inbox.renew(claim, lease: .seconds(60)) },
            { try await inbox.complete(claim, retention: .seconds(60)) }, { try await inbox.abandon(claim) },
        ] as [() async throws -> Void] {
            let error = await #expect(throws: EventBusError.self) { try await call() }
            #expect(error?.code == .unavailable)
        }
        // Others on the connection would wait with them.
        #expect(start.duration(to: .now) < .seconds(4))
        try await session.execute("COMMIT")
        try await inbox.complete(claim, retention: .seconds(60))
        await session.close()
    }

    @Test("A renewal during a takeover of the expired claim is told that the claim has ended")
    func takeover() async throws {
        let database = try await TestPostgres.database()
        let (inbox, key) = (PostgresInbox(database.client), Self.key())
        let (other, observer) = (try database.session(), try TestPostgres.observer(of: database))
        let claim = try #require(try await inbox.begin(key, lease: .milliseconds(200)).newClaim)
        let expired = PostgresStatement(
            "SELECT count(*) FROM eventbus_inbox WHERE ends_at <= extract(epoch FROM clock_timestamp()) * 1000"
        )
        try await eventually("the claim expires") { try await observer.run(expired).integer(0, 0) == 1 }
        try await other.execute("BEGIN")
        let taken = try await other.execute(InboxSQL.begin(key, lease: 60_000, token: 1, isRepeated: false))
        #expect(taken[0].count == 1)
        let renewing = Task { try await inbox.renew(claim, lease: .seconds(60)) }
        let asked = PostgresStatement(
            """
            SELECT count(*) FROM pg_stat_activity
            WHERE datname = current_database() AND query LIKE '%renewed%' AND pid <> pg_backend_pid()
            """
        )
        try await eventually("the renewal is asked for") { try await observer.run(asked).integer(0, 0) == 1 }
        try await other.execute("COMMIT")
        let error = await #expect(throws: EventBusError.self) { try await renewing.value }
        #expect(error?.code == .leaseExpired)
        await other.close()
        await observer.close()
    }

    @Test("A repeated call takes over the claim of the one without an answer, and no other claim")
    func repeated() async throws {
        let database = try await TestPostgres.database()
        let key = Self.key()
        func begin(_ token: Int64, isRepeated: Bool) async throws -> PostgresResult {
            try await database.client.run(
                InboxSQL.begin(key, lease: 60_000, token: token, isRepeated: isRepeated)
            )
        }
        let first = try await begin(7, isRepeated: false).integer(0, 0)
        #expect(try await begin(7, isRepeated: false).count == 0)
        #expect(try await begin(8, isRepeated: true).count == 0)
        let second = try await begin(7, isRepeated: true).integer(0, 0)
        #expect(second > first)
        try await database.client.run(InboxSQL.withdraw(key, token: 8))
        #expect(try await begin(8, isRepeated: false).count == 0)
        try await database.client.run(InboxSQL.withdraw(key, token: 7))
        #expect(try await begin(8, isRepeated: false).count == 1)
    }
}

extension TestPostgres {
    /// Returns another client of a database.
    static func observer(of database: TestDatabase) throws -> PostgresClient {
        try PostgresClient(PostgresConfiguration(database.url), logger: .quiet)
    }
}

extension InboxDecision {
    /// The claim, if the event is new.
    fileprivate var newClaim: InboxClaim? {
        if case .new(let claim) = self { claim } else { nil }
    }
}

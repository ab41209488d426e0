import EventBus
import EventBusTesting
import Testing

@testable import EventBusPostgres

@Suite("A connection to PostgreSQL that answers late", .timeLimit(.minutes(2)))
struct SilenceTests {
    private static let backend = PostgresStatement("SELECT pg_backend_pid()::bigint")

    @Test("A call without an answer in time ends alone, while the server answers others on the same connection")
    func keepsConnection() async throws {
        let database = try await TestPostgres.database()
        var configuration = try PostgresConfiguration(database.url)
        configuration.commandTimeout = .milliseconds(400)
        let client = try PostgresClient(configuration, logger: .quiet)
        let before = try await client.run(Self.backend).integer(0, 0)
        let answers = await withTaskGroup(of: Bool.self) { group in
            for _ in 0..<30 {
                group.addTask { (try? await client.run(PostgresStatement("SELECT pg_sleep(0.1)"))) != nil }
            }
            return await group.reduce(into: (0, 0)) { counts, isAnswered in
                if isAnswered { counts.0 += 1 } else { counts.1 += 1 }
            }
        }
        #expect(answers.0 > 0)
        #expect(answers.1 > 0)
        let after = Locked<Int64>(0)
        try await eventually("it answers") {
            guard let rows = try? await client.run(Self.backend) else { return false }
            let backend = try rows.integer(0, 0)
            after.withLock { $0 = backend }
            return true
        }
        #expect(after.withLock { $0 } == before)
        await client.close()
    }

    @Test("A server that sends nothing is given up, and the next call has another connection")
    func givesUp() async throws {
        let database = try await TestPostgres.database()
        let (proxy, configuration) = try database.slowProxy(
            bytesPerSecond: 1 << 30,
            commandTimeout: .milliseconds(400)
        )
        let client = try PostgresClient(configuration, logger: .quiet)
        let before = try await client.run(Self.backend).integer(0, 0)
        proxy.set(bytesPerSecond: 0)
        let error = await #expect(throws: EventBusError.self) { try await client.run(Self.backend) }
        #expect(error?.code == .indeterminate)
        proxy.set(bytesPerSecond: 1 << 30)
        try await eventually("another connection answers") {
            guard let rows = try? await client.run(Self.backend) else { return false }
            return try rows.integer(0, 0) != before
        }
        await client.close()
    }

    @Test("A time limit that exceeds the server's greatest one is no obstacle")
    func longLimit() async throws {
        let database = try await TestPostgres.database()
        for limit in [Duration.seconds(2_147_484), .seconds(Int64.max)] {
            var configuration = try PostgresConfiguration(database.url)
            configuration.commandTimeout = limit
            let client = try PostgresClient(configuration, logger: .quiet)
            let answer = Task { try await client.run(Self.backend).integer(0, 0) }
            try await eventually("the server has a session") {
                try await database.integer(
                    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
                ) > 0
            }
            let deadline = AnyClock.continuous.now.advanced(by: .seconds(20))
            let backend = try await withDeadline(deadline, clock: .continuous) { try await answer.value }
            #expect(backend != nil)
            await client.close()
        }
    }
}

import Configuration
import EventBus
import EventBusTesting
import ServiceLifecycle
import Testing

@testable import EventBusPostgres

@Suite("A connection to PostgreSQL", .timeLimit(.minutes(2)))
struct ConnectionTests {
    @Test("Values of every type arrive as they were sent")
    func values() async throws {
        let client = try await TestPostgres.database().client
        let bytes = (0...255).map { UInt8($0) }
        let result = try await client.run(
            PostgresStatement(
                "SELECT ?::text, ?::bigint, ?::boolean, ?::bytea, ?::text, (?::bigint[])[2], (?::text[])[2]",
                [
                    .text("Ünï\"'\\$1"), .integer(.min), .boolean(true), .bytes(bytes), .null,
                    .integers([1, .max]), .texts(["a", "b\"\\{,}é", "x\u{0}y"]),
                ]
            )
        )
        #expect(try result.text(0, 0) == "Ünï\"'\\$1")
        #expect(try result.integer(0, 1) == .min)
        #expect(try result.boolean(0, 2))
        #expect(try result.data(0, 3) == bytes)
        #expect(try result.optionalText(0, 4) == nil)
        #expect(try result.integer(0, 5) == .max)
        #expect(try result.text(0, 6) == "b\"\\{,}é")
    }

    @Test("A value of an unexpected type, and one that does not exist, is an error")
    func mismatches() async throws {
        let client = try await TestPostgres.database().client
        let result = try await client.run(PostgresStatement("SELECT 'a', 1, NULL::bigint, 1.5, true"))
        for read in [
            { _ = try result.integer(0, 0) }, { _ = try result.text(0, 1) }, { _ = try result.integer(0, 2) },
            { _ = try result.integer(0, 3) }, { _ = try result.data(0, 4) }, { _ = try result.boolean(0, 1) },
            { _ = try result.integer(1, 1) }, { _ = try result.text(-1, 99) }, { _ = try result.data(0, -1) },
        ] as [() throws -> Void] {
            #expect(throws: EventBusError.self) { try read() }
        }
    }

    @Test("Statements that are sent together are one transaction")
    func isAtomic() async throws {
        let database = try await TestPostgres.database()
        try await database.client.run(PostgresStatement("CREATE TABLE t (n int UNIQUE)"))
        let insert = PostgresStatement("INSERT INTO t VALUES (1)")
        let error = await #expect(throws: EventBusError.self) { try await database.client.run([insert, insert]) }
        #expect(error?.code == .rejected)
        #expect(error?.description.contains("23505") == true)
        #expect(try await database.integer("SELECT count(*) FROM t") == 0)
    }

    @Test("Many callers share a connection")
    func pipelines() async throws {
        let database = try await TestPostgres.database()
        try await withThrowingTaskGroup(of: Void.self) { group in
            for number in Int64(0)..<1000 {
                group.addTask {
                    let result = try await database.client.run(
                        PostgresStatement("SELECT ?::bigint, repeat('x', 10000)", [.integer(number)])
                    )
                    #expect(try result.integer(0, 0) == number)
                }
            }
            try await group.waitForAll()
        }
    }

    @Test("Missing tables are named with the remedy")
    func missingTables() async throws {
        let database = try await TestPostgres.database()
        let error = await #expect(throws: EventBusError.self) {
            try await database.client.run(PostgresStatement("SELECT * FROM eventbus_none"))
        }
        #expect(error?.code == .notFound)
        #expect(error?.description.contains("migrate") == true)
    }

    @Test("Migrations are applied once, also by several processes at the same time")
    func migrates() async throws {
        let database = try await TestPostgres.database()
        let clients = try (0..<5).map { _ in try PostgresClient(PostgresConfiguration(database.url), logger: .quiet) }
        try await database.client.run(PostgresStatement("DROP TABLE eventbus_migration, eventbus_outbox CASCADE"))
        try await database.client.run(
            PostgresStatement("DROP SCHEMA public CASCADE")
        )
        try await database.client.run(PostgresStatement("CREATE SCHEMA public"))
        try await withThrowingTaskGroup(of: Void.self) { group in
            for client in clients { group.addTask { try await client.migrate() } }
            try await group.waitForAll()
        }
        #expect(try await database.integer("SELECT count(*) FROM eventbus_migration") == 2)
        // The printed script does nothing more.
        _ = try await run("psql", [database.url, "-v", "ON_ERROR_STOP=1", "-qc", PostgresMigration.script])
        for client in clients { await client.close() }
    }

    @Test("A statement that takes too long ends with an error, and the connection is used again")
    func timesOut() async throws {
        let database = try await TestPostgres.database()
        var configuration = try PostgresConfiguration(database.url)
        configuration.commandTimeout = .milliseconds(200)
        let client = try PostgresClient(configuration, logger: .quiet)
        await #expect(throws: EventBusError.self) { try await client.run(PostgresStatement("SELECT pg_sleep(60)")) }
        try await eventually("it answers") { (try? await client.run(PostgresStatement("SELECT 1"))) != nil }
        await client.close()
        let error = await #expect(throws: EventBusError.self) { try await client.run(PostgresStatement("SELECT 1")) }
        #expect(error?.code == .shuttingDown)
    }

    @Test("An unreachable server is named in the error, without the password")
    func unreachable() async throws {
        var configuration = try PostgresConfiguration("postgres://user:s3cr%21t@127.0.0.1:1/db")
        configuration.commandTimeout = .milliseconds(300)
        let client = try PostgresClient(configuration, logger: .quiet)
        let error = await #expect(throws: EventBusError.self) { try await client.run(PostgresStatement("SELECT 1")) }
        #expect(error?.code == .unavailable)
        #expect(error?.description.contains("127.0.0.1") == true)
        for text in ["\(configuration)", "\(String(reflecting: configuration))", "\(String(describing: error))"] {
            #expect(!text.contains("s3cr"))
        }
        var dumped = ""
        dump(configuration, to: &dumped)
        #expect(!dumped.contains("s3cr"))
        await client.close()
    }

    @Test("A connection string that libpq does not understand is refused without its text")
    func invalid() {
        for text in ["postgres://u:s3cret@[::1", "host=a s3cret", "postgres://h/?s3cret=1", "host=a\u{0}b"] {
            let error = #expect(throws: EventBusError.self) { try PostgresConfiguration(text) }
            #expect(error?.code == .invalidConfiguration)
            #expect(error?.description.contains("s3cret") == false)
        }
    }

    @Test(
        "A password in a URI that may be taken for a part of the address is refused without its text",
        arguments: [
            "postgres://shop:s3cret@s3cret@db/shop", "postgresql://shop:s3cret@s3cret@db/shop",
            "postgres://shop:s3cret/s3cret@db/shop", "postgres://shop:s3cret/s3cret",
            "postgres://shop:1/s3cret@db/shop",
            "postgres://shop@corp:s3cret@db/shop",
        ]
    )
    func ambiguous(_ text: String) {
        let error = #expect(throws: EventBusError.self) { try PostgresConfiguration(text) }
        #expect(error?.code == .invalidConfiguration)
        #expect(error?.description.contains("s3cret") == false)
    }

    @Test(
        "Every other address is taken",
        arguments: [
            "postgres://shop:a%40b%2Fc@h1:1,h2:2/d?application_name=a@b", "postgres:///d?host=/run/a@b",
            "host=@x port=1",
            "postgres://shop:a?b@[::1]:5432/d", "postgres://", "postgresql://h", "password=a@b/c host=h",
        ]
    )
    func unambiguous(_ text: String) throws {
        _ = try PostgresConfiguration(text)
    }

    @Test("A reader gives a configuration, and names the key that is wrong")
    func reads() throws {
        let uri = "postgres://shop@127.0.0.1:1/db"
        let provider = InMemoryProvider(values: [
            "uri": .init(.string(uri), isSecret: true), "commandTimeout": 2.5, "reconnect.initial": 0.25,
            "reconnect.maximum": 8,
        ])
        let configuration = try PostgresConfiguration(config: ConfigReader(provider: provider))
        #expect(configuration.connectionString == uri)
        #expect(configuration.commandTimeout == .milliseconds(2500))
        #expect(configuration.reconnect == .init(initial: .milliseconds(250), maximum: .seconds(8)))
        for (key, values) in [("uri", [:]), ("commandTimeout", ["uri": "postgres://h/d", "commandTimeout": -1.0])]
            as [(String, [AbsoluteConfigKey: ConfigValue])]
        {
            let reader = ConfigReader(provider: InMemoryProvider(values: values))
            let error = #expect(throws: EventBusError.self) { try PostgresConfiguration(config: reader) }
            #expect(error?.code == .invalidConfiguration)
            #expect(error?.message.contains(key) == true)
        }
    }

    @Test("A client that runs in a service group is closed when the group shuts down")
    func runs() async throws {
        let client = try PostgresClient(PostgresConfiguration("postgres://127.0.0.1:1/db"), logger: .quiet)
        let group = ServiceGroup(services: [client], logger: .quiet)
        let running = Task { try await group.run() }
        await group.triggerGracefulShutdown()
        try await running.value
        let error = await #expect(throws: EventBusError.self) { try await client.run(PostgresStatement("SELECT 1")) }
        #expect(error?.code == .shuttingDown)
    }

    @Test("A task that is cancelled while it waits for a connection stops waiting")
    func cancels() async throws {
        var configuration = try PostgresConfiguration("postgres://127.0.0.1:1/db")
        configuration.commandTimeout = .seconds(3600)
        let client = try PostgresClient(configuration, logger: .quiet)
        let task = Task { try await client.run(PostgresStatement("SELECT 1")) }
        task.cancel()
        await #expect(throws: CancellationError.self) { try await task.value }
        await client.close()
    }
}

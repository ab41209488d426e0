import Configuration
import EventBus
import EventBusServiceKit
import GRDB
import ServiceStorage
import ServiceTestKit
import Testing

@testable import ShopServer

@Suite(.timeLimit(.minutes(1)))
struct ShopOptionsTests {
    private let directory: TemporaryDirectory

    init() throws {
        directory = try TemporaryDirectory()
    }

    /// Returns an environment with the settings' defaults and `values`.
    private func environment(_ values: [String: String] = [:]) -> ServiceEnvironment {
        var variables: [String: String] = [:]
        for setting in ShopOptions.settings(name: "orders", executable: "order-service") {
            if ["rabbitmq.uri", "redis.uri", "database.path"].contains(setting.key) {
                variables[setting.environmentVariable] = setting.defaultValue
            }
        }
        variables.merge(values) { _, given in given }
        let provider = EnvironmentVariablesProvider(environmentVariables: variables)
        return ServiceEnvironment(config: ConfigReader(provider: provider), logger: .quiet)
    }

    private func definition(
        _ assemble: @escaping @Sendable (ShopEnvironment) async throws -> ServiceAssembly
    ) -> ServiceDefinition {
        .shop(
            name: "orders",
            executable: "order-service",
            summary: "Takes orders.",
            defaultPort: 8080,
            needsBus: false,
            migrations: { migrator in
                migrator.registerMigration("orders") { db in
                    try db.execute(sql: "CREATE TABLE orders (id TEXT PRIMARY KEY)")
                }
            },
            assemble: assemble
        )
    }

    @Test func `the data is in SQLite unless a PostgreSQL database is set`() throws {
        let options = try ShopOptions(environment())
        #expect(options.databasePath == "orders.sqlite" && options.databaseConnection == nil)
        #expect(try ShopOptions(environment(["DATABASE": "postgres://shop@host/shop"])).databaseConnection != nil)
        #expect(try ShopOptions(environment(["DATABASE": ""])).databaseConnection == nil)
        #expect(throws: UsageError("database.path is empty; give the path of a file")) {
            try ShopOptions(environment(["DATABASE_PATH": ""]))
        }
    }

    @Test func `an invalid address of the broker is reported with its key`() {
        let message = "rabbitmq: the URI of the broker is not valid: it begins with neither amqp:// nor amqps://"
        #expect(throws: UsageError(message)) { try ShopOptions(environment(["RABBITMQ_URI": "http://here"])) }
    }

    @Test func `a server is assembled from a bus and a migrated database, which its assembly closes`() async throws {
        let values = ["DATABASE_PATH": directory.file("db")]
        let assembly = try await definition { environment in
            let count = try await environment.database.read { transaction in
                try transaction.rows("SELECT count(*) AS n FROM orders")[0].integer("n")
            }
            #expect(count == 0)
            return ServiceAssembly(bus: environment.bus)
        }.assemble(environment(values))
        #expect(!assembly.needsBus && assembly.publicPaths == ["/openapi.json"])
        #expect(await assembly.checks[0].check() == [ComponentHealth(name: "database", status: .ready)])
        await assembly.close()
        #expect(await assembly.checks[0].check().map(\.status) == [.notReady])
    }

    @Test func `a server whose database cannot be opened does not start`() async {
        let failure = ServiceFailure("cannot open the database /nowhere/db: No such file or directory")
        await #expect(throws: failure) {
            try await definition { ServiceAssembly(bus: $0.bus) }
                .assemble(environment(["DATABASE_PATH": "/nowhere/db"]))
        }
    }
}

import GRDB

@testable import ServiceKit

extension ServiceDefinition {
    /// Returns a service without functions.
    static func plain(
        settings: [Setting] = [],
        needsBroker: Bool = false,
        assemble: @escaping @Sendable (ServiceEnvironment) async throws -> ServiceAssembly = { _ in ServiceAssembly() }
    ) -> ServiceDefinition {
        ServiceDefinition(
            name: "orders",
            executable: "order-service",
            summary: "Takes orders.",
            defaultPort: 8080,
            settings: settings,
            needsBroker: needsBroker,
            migrations: { migrator in
                migrator.registerMigration("orders") { db in
                    try db.execute(sql: "CREATE TABLE orders (id TEXT PRIMARY KEY)")
                }
            },
            assemble: assemble
        )
    }
}

import Foundation
import ShopData
import Synchronization
import Testing

@testable import Fleet

/// The brokers that the tests of whole fleets share, because they take longer to start than a fleet takes to do its
/// work.
///
/// Each fleet has its own virtual host and database number. The brokers end with the process.
enum TestFleet {
    private static let brokers = Task { () async throws -> Brokers in
        let folder = URL(filePath: NSTemporaryDirectory()).appending(path: "fleet-tests-brokers-\(UUID().uuidString)")
        return try await Brokers(
            script: FleetPaths().brokersScript,
            directory: folder.path(percentEncoded: false),
            withPostgres: true
        )
    }
    private static let count = Mutex(0)

    private static func nextNumber() -> Int {
        count.withLock { count in
            count += 1
            return count
        }
    }

    /// Starts a fleet and calls `body` with it.
    ///
    /// - Parameters:
    ///   - replicas: The number of inventory services, or with PostgreSQL of services of each kind.
    ///   - usesPostgres: `true` for PostgreSQL instead of SQLite.
    ///   - users: A closure that creates users with rights to a virtual host, and returns the login of each service.
    ///   - body: The closure that uses the fleet.
    static func with<Result: Sendable>(
        replicas: Int = 1,
        usesPostgres: Bool = false,
        users: (Brokers, _ virtualHost: String) async throws -> [ServiceKind: String] = { _, _ in [:] },
        _ body: (Fleet) async throws -> Result
    ) async throws -> Result {
        let number = nextNumber()
        let brokers = try await brokers.value
        let folder = URL(filePath: NSTemporaryDirectory()).appending(path: "fleet-tests-\(UUID().uuidString)")
        try FileManager.default.createDirectory(
            at: folder,
            withIntermediateDirectories: false,
            attributes: [.posixPermissions: 0o700]
        )
        var configuration = Fleet.Configuration(
            places: try FleetPaths(),
            directory: folder.path(percentEncoded: false),
            replicas: replicas,
            usesPostgres: usesPostgres
        )
        configuration.logins = try await users(brokers, "fleet-\(number)")
        // The files that a test leaves behind after an error help to find its cause.
        let result = try await Fleet.withFleet(
            configuration,
            on: (brokers, "fleet-\(number)", number),
            body
        )
        try FileManager.default.removeItem(at: folder)
        return result
    }

    /// Returns the brokers.
    static func shared() async throws -> Brokers { try await brokers.value }

    /// Returns the address of a PostgreSQL database.
    static func postgres() async throws -> String {
        try #require(try await brokers.value.postgres)
    }

    /// Returns a virtual host of RabbitMQ and a database of Redis that no fleet uses.
    static func places() async throws -> (rabbitMQ: String, redis: String) {
        let number = nextNumber()
        let brokers = try await brokers.value
        return (try await brokers.addVirtualHost("fleet-\(number)"), "\(brokers.redis)/\(number)")
    }

    /// Returns a number of the sample's orders, with a stock that is too small for all of them.
    static func input(_ count: Int) -> ShopInput {
        let sample = SampleData(orderCount: count)
        var stock = sample.stock
        // Orders for a product that is not in stock are rejected.
        stock.removeFirst(2)
        return ShopInput(orders: sample.orders, stock: stock)
    }
}

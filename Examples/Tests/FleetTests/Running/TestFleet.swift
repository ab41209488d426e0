import Foundation
import ShopData
import Synchronization
import Testing

@testable import Fleet

/// What the tests of whole fleets share: RabbitMQ and Redis, which take longer to start than a fleet to do its work.
///
/// Each fleet has a virtual host and a database number of its own. The brokers end with the process.
enum TestFleet {
    private static let brokers = Task { () async throws -> Brokers in
        let folder = URL(filePath: NSTemporaryDirectory()).appending(path: "fleet-tests-brokers-\(UUID().uuidString)")
        return try await Brokers(
            script: FleetPlaces().brokersScript,
            directory: folder.path(percentEncoded: false)
        )
    }
    private static let count = Mutex(0)

    private static func nextNumber() -> Int {
        count.withLock { count in
            count += 1
            return count
        }
    }

    /// Starts a fleet and has `body` use it.
    static func with<Result: Sendable>(
        replicas: Int = 1,
        _ body: (Fleet) async throws -> Result
    ) async throws -> Result {
        let number = nextNumber()
        let folder = URL(filePath: NSTemporaryDirectory()).appending(path: "fleet-tests-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        let configuration = Fleet.Configuration(
            places: try FleetPlaces(),
            directory: folder.path(percentEncoded: false),
            replicas: replicas
        )
        // What a test leaves behind after an error tells what was wrong.
        let result = try await Fleet.withFleet(
            configuration,
            on: (try await brokers.value, "fleet-\(number)", number),
            body
        )
        try FileManager.default.removeItem(at: folder)
        return result
    }

    /// A virtual host of RabbitMQ and a database of Redis that no fleet has.
    static func places() async throws -> (rabbitMQ: String, redis: String) {
        let number = nextNumber()
        let brokers = try await brokers.value
        return (try await brokers.addVirtualHost("fleet-\(number)"), "\(brokers.redis)/\(number)")
    }

    /// So many of the sample's orders, with a stock that does not suffice for all of them.
    static func input(_ count: Int) -> ShopInput {
        let sample = SampleData(orderCount: count)
        var stock = sample.stock
        // A product that is nowhere in stock has the orders for it rejected.
        stock.removeFirst(2)
        return ShopInput(orders: sample.orders, stock: stock)
    }
}

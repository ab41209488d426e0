import Foundation
import ShopData
import Testing

@testable import Fleet

extension EndToEndTests {
    @Test("The shop in one process on RabbitMQ, with lock, cache and inboxes on Redis: the books agree")
    func oneProcess() async throws {
        let (rabbitMQ, redis) = try await TestFleet.places()
        let report = URL(filePath: NSTemporaryDirectory()).appending(path: "shop-\(UUID().uuidString).json")
        defer { try? FileManager.default.removeItem(at: report) }
        let shop = Script(path: "\(try FleetPaths().executables)/Shop")
        let summary = try await shop.run(
            "--transport",
            "rabbitmq",
            "--url",
            rabbitMQ,
            "--redis",
            redis,
            "--report",
            report.path(percentEncoded: false)
        )
        #expect(summary.contains("Every order has one outcome and one notification, and the books agree."))
        let figures = try JSONDecoder().decode(ShopReport.self, from: Data(contentsOf: report))
        #expect(figures.orders == 1_000)
        #expect(figures.notified == 1_000)
        #expect(figures.reserved + figures.rejected == 1_000)
        #expect(figures.deadLetters == 0)
        #expect(figures.oversold == 0)
    }
}

import EventBus
import EventBusServiceKit
import Foundation
import GRDB
import HTTPTypes
import Hummingbird
import HummingbirdTesting
import NotificationService
import ServiceStorage
import ServiceTestKit
import Testing

@testable import NotificationServer

@Suite("The HTTP routes of the notification service", .timeLimit(.minutes(1)))
struct NotificationRoutesTests {
    private let scratch: Scratch
    private let log: SQLNotificationLog

    init() async throws {
        scratch = try Scratch()
        let file = try await opened(MailFile(path: scratch.path("mail.mbox"), logger: .quiet))
        log = SQLNotificationLog(database: .sqlite(try scratch.database()), mailer: file, letterhead: try .sample)
        for id in ["1", "2", "a b"] {
            _ = try await log.send(
                Notice(orderID: id, customerID: "VINET", outcome: .confirmed, text: "On its way."),
                handling: nil
            )
        }
    }

    private func get(_ uri: String) async throws -> TestResponse {
        let router = Router.service(access: .open, routes: NotificationRoutes(log: log).add)
        return try await Application(router: router, logger: .quiet).test(.router) { client in
            try await client.get(uri)
        }
    }

    private func page(_ uri: String) async throws -> [NotificationPage.Entry] {
        let response = try await get(uri)
        #expect(response.status == .ok)
        return try response.decode(NotificationPage.self).notifications
    }

    @Test("The newest ones come first, up to the requested number")
    func latest() async throws {
        #expect(try await page("/notifications").map(\.orderID) == ["a b", "2", "1"])
        #expect(try await page("/notifications?limit=2").map(\.orderID) == ["a b", "2"])
    }

    @Test("The notification about an order is found")
    func order() async throws {
        let entries = try await page("/notifications?order=2")
        #expect(entries.map(\.eventID) == ["2"])
        #expect(entries.first?.customerID == "VINET")
        #expect(entries.first?.outcome == .confirmed)
        #expect(entries.first?.sentAt.hasSuffix("Z") == true)
        #expect(try await page("/notifications?order=a%20b").count == 1)
        #expect(try await page("/notifications?order=3").isEmpty)
    }

    @Test("A page has about a megabyte at most, however long its notifications are")
    func size() async throws {
        for number in 0..<30 {
            _ = try await log.send(
                Notice(
                    orderID: "long-\(number)",
                    customerID: "VINET",
                    outcome: .cancelled,
                    text: String(repeating: "x", count: 66_000)
                ),
                handling: nil
            )
        }
        let response = try await get("/notifications?limit=1000")
        #expect(response.body.readableBytes <= NotificationPage.maximumSize)
        #expect(try response.decode(NotificationPage.self).notifications.count == 15)
    }

    @Test(
        "A query that is wrong is refused",
        arguments: ["limit=0", "limit=1001", "limit=a", "order=", "order=1&order=2", "customer=VINET"]
    )
    func invalid(query: String) async throws {
        let response = try await get("/notifications?\(query)")
        #expect(response.status == .badRequest)
        #expect(response.headers[.contentType] == "application/problem+json")
    }

    @Test("The description of the API names every route, and its references are valid")
    func description() async throws {
        let response = try await get("/openapi.json")
        let json = try JSONSerialization.jsonObject(with: Data(response.body.readableBytesView))
        let document = try #require(json as? [String: Any])
        #expect((document["paths"] as? [String: Any]).map { Array($0.keys) } == ["/notifications"])
        #expect(danglingReferences(in: document) == [])
        #expect(openOperations(in: document) == [])
    }
}

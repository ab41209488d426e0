import EventBus
import Foundation
import GRDB
import NotificationService
import ServiceTestKit
import Testing

@testable import NotificationServer

/// A separate folder, which is deleted with this object.
final class Scratch: Sendable {
    private let folder: URL

    init() throws {
        folder = FileManager.default.temporaryDirectory.appending(path: "notifications-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    }

    deinit {
        try? FileManager.default.removeItem(at: folder)
    }

    /// The path of a file in the folder.
    func path(_ name: String) -> String {
        folder.appending(path: name).path
    }

    /// Returns the content of a file, which is empty if it is missing.
    func contents(_ name: String) -> [UInt8] {
        FileManager.default.contents(atPath: path(name)).map { [UInt8]($0) } ?? []
    }

    /// Writes a file.
    func write(_ bytes: some Sequence<UInt8>, to name: String) throws {
        try Data(bytes).write(to: URL(filePath: path(name)))
    }

    /// Returns a database with the service's tables.
    func database() throws -> DatabasePool {
        let pool = try DatabasePool(path: path("notifications.sqlite"))
        var migrator = DatabaseMigrator()
        NotificationSchema.registerMigrations(in: &migrator)
        try migrator.migrate(pool)
        return pool
    }
}

extension Letterhead {
    /// The letterhead of the tests.
    static var sample: Letterhead {
        get throws {
            Letterhead(
                sender: try #require(MailAddress("orders@shop.example")),
                customerDomain: try #require(MailDomain("customers.example"))
            )
        }
    }
}

extension MailMessage {
    /// Returns a message about an order.
    static func sample(
        _ orderID: String = "1",
        customerID: String = "VINET",
        text: String = "Your order is on its way."
    ) throws -> MailMessage {
        try MailMessage(
            Notice(orderID: orderID, customerID: customerID, outcome: .confirmed, text: text),
            eventID: EventID("order.confirmed:\(orderID)"),
            time: EventTime(milliseconds: 1_770_292_800_000),
            letterhead: .sample
        )
    }
}

/// Opens a mail file, after its previous owner has released it.
func opened(_ file: MailFile) async throws -> MailFile {
    try await eventually { try await file.open() }
    return file
}

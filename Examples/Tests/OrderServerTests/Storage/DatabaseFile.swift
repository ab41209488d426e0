import Foundation
import GRDB

/// A separate database file, which is deleted with this object.
final class DatabaseFile: Sendable {
    private let folder: URL

    init() throws {
        folder = FileManager.default.temporaryDirectory.appending(component: "orders-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    }

    deinit {
        try? FileManager.default.removeItem(at: folder)
    }

    /// Opens a separate connection, as another process would.
    ///
    /// - Parameter timeout: The time in seconds to wait for another writer.
    func open(timeout: Double = 30) throws -> DatabasePool {
        var configuration = Configuration()
        configuration.busyMode = .timeout(timeout)
        // A transaction may be left open for a while.
        configuration.allowsUnsafeTransactions = true
        return try DatabasePool(path: folder.appending(component: "orders.sqlite").path, configuration: configuration)
    }
}

import Foundation
import GRDB

/// A database file of its own, gone when this is.
final class DatabaseFile: Sendable {
    private let folder: URL

    init() throws {
        folder = FileManager.default.temporaryDirectory.appending(component: "orders-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    }

    deinit {
        try? FileManager.default.removeItem(at: folder)
    }

    /// A connection of its own, as another process would have.
    ///
    /// - Parameter timeout: How long it waits for another one that writes, in seconds.
    func open(timeout: Double = 30) throws -> DatabasePool {
        var configuration = Configuration()
        configuration.busyMode = .timeout(timeout)
        // A transaction may be left open for a while.
        configuration.allowsUnsafeTransactions = true
        return try DatabasePool(path: folder.appending(component: "orders.sqlite").path, configuration: configuration)
    }
}

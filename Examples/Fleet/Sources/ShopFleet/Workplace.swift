import Foundation

/// The directory in which a run keeps its files.
enum Workplace {
    /// Creates the directory and calls `body` with it. A temporary directory is removed afterwards, unless its content
    /// should be inspected.
    ///
    /// - Parameters:
    ///   - directory: The directory. Defaults to a temporary one.
    ///   - body: The closure that uses the directory.
    ///   - isGood: A closure that returns `true` if the result needs no inspection.
    static func with<Result>(
        directory: String?,
        _ body: (String) async throws -> Result,
        isGood: (Result) -> Bool
    ) async throws -> Result {
        let manager = FileManager.default
        if let directory {
            let url = URL(filePath: directory)
            try manager.createDirectory(at: url, withIntermediateDirectories: true)
            guard try manager.contentsOfDirectory(atPath: url.path(percentEncoded: false)).isEmpty else {
                throw DirectoryInUse(directory: directory)
            }
            return try await body(url.standardizedFileURL.path(percentEncoded: false))
        }
        let url = URL(filePath: NSTemporaryDirectory()).appending(path: "shop-fleet-\(UUID().uuidString)")
        // A tester's files are nobody else's business, and a folder that exists is another user's.
        try manager.createDirectory(
            at: url,
            withIntermediateDirectories: false,
            attributes: [.posixPermissions: 0o700]
        )
        do {
            let result = try await body(url.path(percentEncoded: false))
            if isGood(result) { try? manager.removeItem(at: url) }
            return result
        } catch is CancellationError {
            try? manager.removeItem(at: url)
            throw CancellationError()
        }
    }
}

/// The error for a directory that is not empty, whose files would be mixed up with those of the run.
struct DirectoryInUse: Error, CustomStringConvertible {
    var directory: String

    var description: String { "\(directory) is not empty: give --keep a new directory" }
}

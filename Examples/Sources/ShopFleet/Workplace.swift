import Foundation

/// The directory in which a run keeps its files.
enum Workplace {
    /// Makes the directory and has `body` use it. One that has no name is removed afterwards, unless there is something
    /// to look into.
    ///
    /// - Parameters:
    ///   - directory: The directory; a temporary one if left out.
    ///   - body: What to do there.
    ///   - isGood: Whether what came out needs no looking into.
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
        try manager.createDirectory(at: url, withIntermediateDirectories: true)
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

/// A directory with something in it, which would be mixed up with the files of the run.
struct DirectoryInUse: Error, CustomStringConvertible {
    var directory: String

    var description: String { "\(directory) is not empty: give --keep a new directory" }
}

import FoundationEssentials
import Glibc

/// A separate directory, which is deleted with this object.
final class TemporaryDirectory: Sendable {
    let path: String

    init() throws {
        path = "/tmp/servicekit-\(UUID())"
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    }

    deinit {
        try? FileManager.default.removeItem(atPath: path)
    }

    func file(_ name: String) -> String { "\(path)/\(name)" }

    /// Writes a file, and returns its path.
    func write(_ text: String, to name: String) throws -> String {
        try Data(text.utf8).write(to: URL(filePath: file(name)))
        return file(name)
    }

    /// Returns the permissions of a file in the format of `chmod`, or `nil` if it is missing.
    func permissions(of name: String) -> Int? {
        var status = stat()
        return stat(file(name), &status) == 0 ? Int(status.st_mode & 0o777) : nil
    }

    /// Returns the lines of a file, or none if it is missing.
    func lines(of name: String) -> [String] {
        guard let data = try? Data(contentsOf: URL(filePath: file(name))) else { return [] }
        return String(decoding: data, as: UTF8.self).split(separator: "\n").map(String.init)
    }
}

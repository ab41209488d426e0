import Glibc

/// A new file for a command's output, or standard output.
enum OutputFile {
    /// Calls `body` with the descriptor of a new file that only the user can read, or with standard output if there is
    /// no path.
    ///
    /// An existing file is not replaced, because an earlier export may be the only copy of what was discarded since.
    static func with<Value>(_ path: String?, _ body: (Int32) async throws -> Value) async throws -> Value {
        guard let path else { return try await body(STDOUT_FILENO) }
        let descriptor = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else {
            throw CommandFailure("\(path) cannot be created: \(String(cString: strerror(errno)))")
        }
        defer { close(descriptor) }
        let value = try await body(descriptor)
        guard fsync(descriptor) == 0 else {
            throw CommandFailure("\(path) cannot be written: \(String(cString: strerror(errno)))")
        }
        return value
    }
}

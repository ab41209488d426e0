import Glibc

/// A new file for a command's output, or standard output.
enum OutputFile {
    /// Calls `body` with the descriptor of a new file that only the user can read, or with standard output if there is
    /// no path.
    ///
    /// The file gets its name when it is complete, so that nobody takes a part for the whole. An existing file is not
    /// replaced, because an earlier export may be the only copy of what was discarded since.
    static func with<Value>(_ path: String?, _ body: (Int32) async throws -> Value) async throws -> Value {
        guard let path else { return try await body(STDOUT_FILENO) }
        func problem(_ what: String, _ number: Int32 = errno) -> CommandFailure {
            CommandFailure("\(what): \(String(cString: strerror(number)))")
        }
        guard access(path, F_OK) != 0 else { throw problem("\(path) cannot be created", EEXIST) }
        var template = Array("\(path).partial-XXXXXX".utf8CString)
        let descriptor = mkstemp(&template)
        guard descriptor >= 0 else { throw problem("\(path) cannot be created") }
        defer { close(descriptor) }
        let partial = template
        let value: Value
        do {
            value = try await body(descriptor)
            guard fsync(descriptor) == 0 else { throw problem("\(path) cannot be written") }
        } catch {
            unlink(partial)
            throw error
        }
        guard link(partial, path) == 0 else {
            let name = String(decoding: partial.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
            throw problem("the output is in \(name), because \(path) cannot be created")
        }
        unlink(partial)
        return value
    }
}

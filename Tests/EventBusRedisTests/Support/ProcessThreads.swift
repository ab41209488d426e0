import Glibc
import Testing

/// Returns the threads of a process, each with its name and its state as one letter.
func threads(of pid: Int32) -> [(name: String, state: Character)] {
    guard let directory = opendir("/proc/\(pid)/task") else { return [] }
    defer { closedir(directory) }
    var threads: [(String, Character)] = []
    while let entry = readdir(directory) {
        let id = withUnsafeBytes(of: entry.pointee.d_name) { bytes in
            String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
        }
        guard Int(id) != nil, let file = fopen("/proc/\(pid)/task/\(id)/stat", "r") else { continue }
        defer { fclose(file) }
        var buffer = [UInt8](repeating: 0, count: 512)
        let count = fread(&buffer, 1, buffer.count, file)
        // The state follows the name, which is in parentheses.
        let text = String(decoding: buffer[..<count], as: UTF8.self)
        guard let start = text.firstIndex(of: "("), let end = text.lastIndex(of: ")"), start < end,
            let state = text[end...].dropFirst(2).first
        else { continue }
        threads.append((String(text[text.index(after: start)..<end]), state))
    }
    return threads
}

/// Sends a signal to one process of the test. It never signals a group, as `kill` would for the id zero.
func signal(_ number: Int32, to pid: Int32, sourceLocation: SourceLocation = #_sourceLocation) {
    guard pid > 1 else {
        Issue.record("\(pid) is no process of the test's", sourceLocation: sourceLocation)
        return
    }
    kill(pid, number)
}

/// Suspends a process, and waits until each of its threads is suspended.
func stop(_ pid: Int32, sourceLocation: SourceLocation = #_sourceLocation) async throws {
    signal(SIGSTOP, to: pid, sourceLocation: sourceLocation)
    try await eventually("the process should stop", sourceLocation: sourceLocation) {
        let states = threads(of: pid).map(\.state)
        return !states.isEmpty && states.allSatisfy { $0 == "T" }
    }
}

import Glibc
import SoakAudit
import Synchronization

/// A child process.
///
/// It has one owner, so that its process id is not used after its end.
struct ChildProcess: Sendable {
    let pid: pid_t

    /// Starts a program. Its output is appended to a file.
    init(_ program: String, _ arguments: [String], output: String) throws {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
        posix_spawn_file_actions_addopen(&actions, 1, output, O_WRONLY | O_CREAT | O_APPEND, 0o644)
        posix_spawn_file_actions_adddup2(&actions, 1, 2)
        let argv = ([program] + arguments).map { strdup($0) } + [nil]
        defer { for pointer in argv { free(pointer) } }
        var pid = pid_t()
        let status = Socket.inheritance.withLock { _ in posix_spawnp(&pid, program, &actions, nil, argv, environ) }
        guard status == 0 else { throw SoakProblem("\(program) was not started: \(status)") }
        self.pid = pid
    }

    /// The exit status, or `nil` while it is running. The signal that ended it counts as a negative status. Call it no more
    /// after it has returned a status.
    func poll() -> Int32? {
        var status: Int32 = 0
        guard waitpid(pid, &status, WNOHANG) == pid else { return nil }
        return status & 0x7F == 0 ? (status >> 8) & 0xFF : -(status & 0x7F)
    }

    /// Waits for the end of the process, and returns its exit status, or `nil` if it has not ended within the time.
    func wait(atMost limit: Duration) async -> Int32? {
        let deadline = ContinuousClock.now + limit
        while true {
            if let status = poll() { return status }
            guard ContinuousClock.now < deadline else { return nil }
            try? await Task.sleep(for: .milliseconds(10))
        }
    }

    /// Sends a signal.
    func send(_ signal: Int32) { kill(pid, signal) }

    /// Runs a program until it ends, and returns its output.
    static func run(
        _ program: String,
        _ arguments: [String],
        output: String,
        atMost limit: Duration = .seconds(120)
    ) async throws -> String {
        unlink(output)
        let process = try ChildProcess(program, arguments, output: output)
        let status = await process.wait(atMost: limit)
        let text = String(decoding: readFile(output), as: UTF8.self)
        guard status == 0 else {
            if status == nil {
                process.send(SIGKILL)
                _ = await process.wait(atMost: .seconds(10))
            }
            let end = status.map { "ended with \($0)" } ?? "did not end"
            throw SoakProblem("\(program) \(arguments.joined(separator: " ")) \(end): \(text.suffix(2_000))")
        }
        return text
    }
}

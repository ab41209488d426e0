import Glibc
internal import Subprocess
import Synchronization
internal import SystemPackage

/// A child process, from its start to its end.
///
/// It cannot outlive this process, however this process ends: with `setpriv --pdeathsig` the kernel kills it when the
/// thread that started it is gone, and `Subprocess` starts all processes on one thread that lives as long as this
/// process. It is in a separate process group, so that Ctrl-C does not reach it.
final class RunningProcess: Sendable {
    let pid: pid_t
    private let task: Task<Void, any Error>
    private let end: EndOfProcess

    /// Starts a process.
    ///
    /// - Parameters:
    ///   - executable: The path of the program.
    ///   - log: The file to which its output is appended.
    /// - Throws: ``FleetProblem`` if it cannot be started.
    init(
        _ executable: String,
        arguments: [String],
        environment: [String: String] = [:],
        log: String
    ) async throws {
        let variables = environment.map { (Environment.Key(rawValue: $0.key), $0.value as String?) }
        var options = PlatformOptions()
        options.processGroupID = 0
        let configuration = Configuration(
            executable: .path("/usr/bin/setpriv"),
            arguments: Arguments(["--pdeathsig", "KILL", executable] + arguments),
            environment: .inherit.updating(
                Dictionary(variables.compactMap { key, value in key.map { ($0, value) } }) {
                    $1
                }
            ),
            platformOptions: options
        )
        let file = try FileDescriptor.open(
            FilePath(log),
            .writeOnly,
            options: [.create, .append, .closeOnExec],
            permissions: .ownerReadWrite
        )
        let end = EndOfProcess()
        let (pids, started) = AsyncStream<pid_t>.makeStream()
        let task = Task {
            defer { started.finish() }
            let result = try await Subprocess.run(
                configuration,
                input: .none,
                output: .fileDescriptor(file, closeAfterSpawningProcess: true),
                error: .combinedWithOutput
            ) { execution in
                started.yield(execution.processIdentifier.value)
            }
            end.status.withLock { $0 = ExitStatus(result.terminationStatus) }
        }
        guard let pid = await pids.first(where: { _ in true }) else {
            task.cancel()
            try await task.value
            throw FleetProblem("\(executable) was not started")
        }
        self.pid = pid
        self.task = task
        self.end = end
    }

    /// The exit status, or `nil` while it is running.
    var status: ExitStatus? { end.status.withLock { $0 } }

    /// Sends a signal, if the process is still running.
    func send(_ signal: Int32) {
        if status == nil { _ = Glibc.kill(pid, signal) }
    }

    /// Waits for the end of the process.
    func exit(within limit: Duration) async throws -> ExitStatus {
        try await wait(atMost: limit, every: .milliseconds(5), for: "the end of process \(pid)") { status }
    }

    /// Kills the process and waits until it is gone, even in a cancelled task.
    func kill() async {
        send(SIGKILL)
        _ = await task.result
    }
}

/// A record of the end of a process.
private final class EndOfProcess: Sendable {
    let status = Mutex<ExitStatus?>(nil)
}

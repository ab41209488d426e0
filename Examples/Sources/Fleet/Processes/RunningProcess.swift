import Glibc
internal import Subprocess
import Synchronization
internal import SystemPackage

/// A child process, from its start to its end.
///
/// It cannot outlive us, however we end: `setpriv --pdeathsig` has the kernel kill it when the thread that started it
/// is gone, and `Subprocess` starts all processes on one thread that lives as long as we do. It is in a process group of
/// its own, so that a Ctrl-C meant for us leaves it to us.
final class RunningProcess: Sendable {
    let pid: pid_t
    private let task: Task<Void, any Error>
    private let end: EndOfProcess

    /// Starts a process.
    ///
    /// - Parameters:
    ///   - executable: The path of the program.
    ///   - log: The file that takes what it prints, after what is there already.
    /// - Throws: ``FleetProblem`` when it cannot be started.
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
            permissions: [.ownerReadWrite, .groupRead, .otherRead]
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

    /// How it ended; `nil` while it runs.
    var status: ExitStatus? { end.status.withLock { $0 } }

    /// Sends it a signal, if it still runs.
    func send(_ signal: Int32) {
        if status == nil { _ = Glibc.kill(pid, signal) }
    }

    /// Waits for its end.
    func exit(within limit: Duration) async throws -> ExitStatus {
        try await wait(atMost: limit, every: .milliseconds(5), for: "the end of process \(pid)") { status }
    }

    /// Kills it and waits until it is gone, also in a task that is cancelled.
    func kill() async {
        send(SIGKILL)
        _ = await task.result
    }
}

/// Where the end of a process is noted.
private final class EndOfProcess: Sendable {
    let status = Mutex<ExitStatus?>(nil)
}

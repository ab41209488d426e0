import Foundation
import Glibc

/// A service as a process of its own, which can be killed, stopped and started again on the same port and files.
public actor ServiceProcess: FleetMember {
    /// What it is.
    public nonisolated let kind: ServiceKind
    /// What people call it: its program, with a number where there are several.
    public nonisolated let name: String
    /// What it printed: JSON, a line each.
    public nonisolated let log: ServiceLog
    /// Where it writes its spans.
    public nonisolated let traceFile: String
    private let executable: String
    private let arguments: [String]
    private let environment: [String: String]
    private let client: ServiceClient
    private var process: RunningProcess?
    private var knownPort = 0
    private var isMeantToRun = false

    init(
        _ kind: ServiceKind,
        name: String,
        executable: String,
        directory: String,
        settings: [String: String],
        environment: [String: String],
        client: ServiceClient
    ) {
        self.kind = kind
        self.name = name
        self.executable = executable
        self.environment = environment
        self.client = client
        log = ServiceLog(file: "\(directory)/\(name).log")
        traceFile = "\(directory)/\(name).spans"
        arguments =
            ["--trace-file", traceFile, "--log-level", "info"]
            + settings.sorted { $0.key < $1.key }.flatMap { ["--\($0.key)", $0.value] }
    }

    /// Where it listens; 0 before it was started. It stays the same when it is started again.
    public var port: Int { knownPort }

    /// How it ended, if it did so without being told to.
    public var unexpectedEnd: ExitStatus? { isMeantToRun ? process?.status : nil }

    /// Starts it; returns when it listens, which is before it is ready.
    ///
    /// - Throws: ``FleetProblem`` with the end of its log when it does not come up.
    public func start() async throws {
        guard process.map({ $0.status != nil }) ?? true else { throw FleetProblem("\(name) runs already") }
        let offset = log.size
        let process = try await RunningProcess(
            executable,
            arguments: arguments + ["--http-port", "\(knownPort)"],
            environment: environment,
            log: log.file
        )
        self.process = process
        isMeantToRun = true
        knownPort = try await wait(atMost: .seconds(60), for: "\(name): the line in \(log.file) that it listens") {
            let entries = log.entries(from: offset)
            if let line = entries.first(where: { $0.message == "listening" }), let port = Int(line["port"] ?? "") {
                return port
            }
            if let status = process.status {
                throw FleetProblem("\(name) ended with \(status) before it listened; it said:\n\(log.tail)")
            }
            return nil
        }
    }

    /// Starts it again where it was.
    public func restart() async throws {
        try await start()
    }

    /// Waits until it says that it is ready.
    public func ready(within limit: Duration = .seconds(60)) async throws {
        try await wait(atMost: limit, every: .milliseconds(50), for: "readiness of \(name), see \(log.file)") {
            if let status = unexpectedEnd {
                throw FleetProblem("\(name) ended with \(status) before it was ready; it said:\n\(log.tail)")
            }
            return try await get("/health/ready")?.status == 200
        }
    }

    /// Asks it something; `nil` when nobody answers.
    public func get(_ path: String) async throws -> Answer? {
        do {
            return try await client.send(port: knownPort, path)
        } catch let error as URLError where error.code != .cancelled {
            return nil
        }
    }

    /// Sends it a signal and lets it be.
    public func send(_ signal: Int32) {
        isMeantToRun = false
        process?.send(signal)
    }

    /// Waits until it has ended after a signal.
    public func exit(within limit: Duration = .seconds(60)) async throws -> ExitStatus {
        guard let process else { throw FleetProblem("\(name) does not run") }
        return try await process.exit(within: limit)
    }

    /// Asks it to end with SIGTERM, and waits until it has.
    public func terminate(within limit: Duration = .seconds(60)) async throws -> ExitStatus {
        send(SIGTERM)
        return try await exit(within: limit)
    }

    /// Ends it with SIGKILL; returns when it is gone, also in a task that is cancelled.
    public func kill() async {
        isMeantToRun = false
        await process?.kill()
    }
}

import Foundation
import Glibc

/// A service in a separate process, which can be killed, stopped and started again on the same port and files.
public actor ServiceProcess: FleetMember {
    /// The kind of service.
    public nonisolated let kind: ServiceKind
    /// The name for people: that of the program, with a number if there are several.
    public nonisolated let name: String
    /// The output of the process, which consists of JSON lines.
    public nonisolated let log: ServiceLog
    /// The file of the service's spans.
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

    /// The port, or 0 before the start. It stays the same after a restart.
    public var port: Int { knownPort }

    /// The exit status, if it ended unexpectedly.
    public var unexpectedEnd: ExitStatus? { isMeantToRun ? process?.status : nil }

    /// Starts the service. Returns when it listens, which is before it is ready.
    ///
    /// - Throws: ``FleetProblem`` with the end of its log if it does not start.
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

    /// Starts the service again at the same address.
    public func restart() async throws {
        try await start()
    }

    /// Waits until the service reports that it is ready.
    public func ready(within limit: Duration = .seconds(60)) async throws {
        try await wait(atMost: limit, every: .milliseconds(50), for: "readiness of \(name), see \(log.file)") {
            try await isReady
        }
    }

    /// A Boolean value indicating whether the service reports that it is ready.
    var isReady: Bool {
        get async throws {
            if let status = unexpectedEnd {
                throw FleetProblem("\(name) ended with \(status) before it was ready; it said:\n\(log.tail)")
            }
            return try await get("/health/ready")?.status == 200
        }
    }

    /// Sends a GET request. Returns `nil` if there is no response.
    public func get(_ path: String) async throws -> Answer? {
        do {
            return try await client.send(port: knownPort, path)
        } catch let error as URLError where error.code != .cancelled {
            return nil
        }
    }

    /// Sends a signal without waiting for its effect.
    public func send(_ signal: Int32) {
        isMeantToRun = false
        process?.send(signal)
    }

    /// Waits until the service has ended after a signal.
    public func exit(within limit: Duration = .seconds(60)) async throws -> ExitStatus {
        guard let process else { throw FleetProblem("\(name) does not run") }
        return try await process.exit(within: limit)
    }

    /// Asks the service to end with SIGTERM, and waits until it has ended.
    public func terminate(within limit: Duration = .seconds(60)) async throws -> ExitStatus {
        send(SIGTERM)
        return try await exit(within: limit)
    }

    /// Ends the service with SIGKILL, and waits until it is gone, even in a cancelled task.
    public func kill() async {
        isMeantToRun = false
        await process?.kill()
    }
}

import Glibc
import SoakAudit
import Synchronization

/// RabbitMQ and Redis, which `Scripts/brokers` starts and stops.
struct Servers: Sendable {
    /// A queue and the number of its messages.
    struct Queue: Sendable {
        var name: String
        var messages: Int
    }

    let rabbitPort: Int
    let redisPort: Int
    /// The password of RabbitMQ's user `guest`.
    let rabbitPassword: String
    let redisPassword: String
    private let script: String
    private let directory: String
    private let commands: CommandCounter

    private final class CommandCounter: Sendable {
        let value = Atomic(0)
    }

    /// Starts the servers. They end with this process at the latest.
    init(script: String, directory: String) async throws {
        self.script = script
        self.directory = "\(directory)/servers"
        commands = CommandCounter()
        let text = try await ChildProcess.run(
            script,
            ["start", "--dir", "\(directory)/servers", "--for", "\(getpid())"],
            output: "\(directory)/start.out"
        )
        // An address is scheme://user:password@host:port, perhaps with a path.
        func address(_ name: String) throws -> (port: Int, password: String) {
            guard let line = text.split(separator: "\n").first(where: { $0.hasPrefix("export \(name)=") }),
                let port = line.split(separator: ":").last.flatMap({ Int($0.prefix { $0 != "/" }) }),
                let password = line.split(separator: "@").first?.split(separator: ":").last
            else { throw SoakProblem("\(script) printed no \(name): \(text)") }
            return (port, String(password))
        }
        (rabbitPort, rabbitPassword) = try address("EVENTBUS_TEST_RABBITMQ_URL")
        (redisPort, redisPassword) = try address("EVENTBUS_TEST_REDIS_URL")
    }

    /// Stops the servers and removes their files.
    func stop() async throws { try await run("stop", directory) }

    /// Sends a signal to a server.
    func signal(_ server: String, _ number: Int32) throws { Glibc.kill(try pid(of: server), number) }

    /// Kills a server, and waits until it is gone.
    func kill(_ server: String) async throws {
        let pid = try pid(of: server)
        Glibc.kill(pid, SIGKILL)
        while Self.isRunning(pid) { try await Task.sleep(for: .milliseconds(5)) }
    }

    /// Starts a server again.
    func restart(_ server: String) async throws { try await run("restart-\(server)", directory) }

    /// Runs `rabbitmqctl`, and returns its output.
    @discardableResult
    func control(_ arguments: String...) async throws -> String {
        try await run("ctl", [directory, "-q"] + arguments)
    }

    /// Returns all queues.
    func queues() async throws -> [Queue] {
        try await control("list_queues", "--no-table-headers", "name", "messages").split(separator: "\n").compactMap {
            let fields = $0.split(separator: "\t")
            return fields.count == 2 ? Queue(name: String(fields[0]), messages: Int(fields[1]) ?? 0) : nil
        }
    }

    private func pid(of server: String) throws -> pid_t {
        let text = String(decoding: readFile("\(directory)/\(server).pid"), as: UTF8.self)
        guard let pid = pid_t(text.filter(\.isNumber)), pid > 1 else {
            throw SoakProblem("\(server) has no process id")
        }
        return pid
    }

    private func run(_ command: String, _ argument: String) async throws { _ = try await run(command, [argument]) }

    private func run(_ command: String, _ arguments: [String]) async throws -> String {
        let number = commands.value.wrappingAdd(1, ordering: .relaxed).newValue
        let output = "\(directory)/../command-\(number).out"
        defer { unlink(output) }
        return try await ChildProcess.run(script, [command] + arguments, output: output)
    }

    /// Returns a Boolean value indicating whether a process is running that is not a child of this one.
    private static func isRunning(_ pid: pid_t) -> Bool {
        let stat = String(decoding: readFile("/proc/\(pid)/stat"), as: UTF8.self)
        guard let state = stat.split(separator: ")").last?.split(separator: " ").first else { return false }
        return state != "Z" && state != "X"
    }
}

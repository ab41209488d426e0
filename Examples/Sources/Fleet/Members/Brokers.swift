import Foundation
import Glibc

/// A RabbitMQ and a Redis of our own, on free ports, which end when we do.
public struct Brokers: Sendable {
    /// A queue and what is in it.
    public struct Queue: Hashable, Sendable {
        /// Its name, such as `inventory.order-created`.
        public var name: String
        /// Messages that wait in it or are with a consumer.
        public var messages: Int
    }

    /// Where RabbitMQ is, with the virtual host `/`.
    public let rabbitMQ: String
    /// Where Redis is.
    public let redis: String
    private let script: Script
    private let directory: String

    /// Starts them.
    ///
    /// - Parameters:
    ///   - script: The path of `Scripts/brokers`.
    ///   - directory: Where they keep their files; it must not exist yet, and is removed when they are stopped.
    public init(script: String, directory: String) async throws {
        self.script = Script(path: script)
        self.directory = directory
        let exports: String
        do {
            exports = try await self.script.run("start", "--dir", directory, "--for", "\(getpid())")
        } catch {
            try? await Self.stop(self.script, directory)
            throw error
        }
        func value(_ name: String) throws -> String {
            let prefix = "export \(name)="
            guard let line = exports.split(separator: "\n").first(where: { $0.hasPrefix(prefix) }) else {
                throw FleetProblem("\(script) printed no \(name): \(exports)")
            }
            return String(line.dropFirst(prefix.count))
        }
        rabbitMQ = try value("EVENTBUS_TEST_RABBITMQ_URL")
        redis = try value("EVENTBUS_TEST_REDIS_URL")
    }

    /// Makes a virtual host, so that several fleets can share one RabbitMQ.
    ///
    /// - Returns: Where it is.
    public func addVirtualHost(_ name: String) async throws -> String {
        try await script.run("ctl", directory, "-q", "add_vhost", name)
        try await script.run("ctl", directory, "-q", "set_permissions", "-p", name, "guest", ".*", ".*", ".*")
        return rabbitMQ.replacing("/%2F", with: "/\(name)")
    }

    /// The queues of a virtual host.
    public func queues(virtualHost: String = "/") async throws -> [Queue] {
        let text = try await script.run(
            "ctl",
            directory,
            "-q",
            "list_queues",
            "-p",
            virtualHost,
            "--no-table-headers",
            "name",
            "messages"
        )
        return text.split(separator: "\n").compactMap { line in
            let fields = line.split(separator: "\t")
            guard fields.count == 2, let messages = Int(fields[1]) else { return nil }
            return Queue(name: String(fields[0]), messages: messages)
        }
    }

    /// RabbitMQ as a member of the fleet.
    public var rabbitMQMember: some FleetMember {
        BrokerMember(name: "rabbitmq", script: script, directory: directory)
    }

    /// Redis as a member of the fleet. It keeps its data in memory only: killed, it comes back empty.
    public var redisMember: some FleetMember {
        BrokerMember(name: "redis", script: script, directory: directory)
    }

    /// Stops RabbitMQ as an administrator would.
    public func stopRabbitMQ() async throws {
        try await script.run("stop-rabbitmq", directory)
    }

    /// Starts RabbitMQ again after it was stopped.
    public func restartRabbitMQ() async throws {
        try await script.run("restart-rabbitmq", directory)
    }

    /// Stops both and removes their files, also in a task that is cancelled.
    public func stop() async throws {
        try await Self.stop(script, directory)
    }

    private static func stop(_ script: Script, _ directory: String) async throws {
        // A task of its own, since in a cancelled one the script would be killed.
        try await Task { _ = try await script.run("stop", directory) }.value
    }
}

/// One of the brokers, known by the file that holds its process id.
private struct BrokerMember: FleetMember {
    let name: String
    let script: Script
    let directory: String

    func kill() async throws {
        let file = "\(directory)/\(name).pid"
        let text = try String(contentsOfFile: file, encoding: .utf8)
        guard let pid = pid_t(text.trimmingCharacters(in: .whitespacesAndNewlines)), pid > 1 else {
            throw FleetProblem("\(file) holds no process id: \(text)")
        }
        Glibc.kill(pid, SIGKILL)
        try await wait(atMost: .seconds(10), for: "the end of \(name), process \(pid)") { !isRunning(pid) }
    }

    func restart() async throws {
        try await script.run("restart-\(name)", directory)
    }

    /// Whether a process that is no child of ours runs. A zombie does not.
    private func isRunning(_ pid: pid_t) -> Bool {
        guard let stat = try? String(contentsOfFile: "/proc/\(pid)/stat", encoding: .utf8),
            let state = stat.split(separator: ")").last?.split(separator: " ").first
        else { return false }
        return state != "Z" && state != "X"
    }
}

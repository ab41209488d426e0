import Foundation
import Glibc
import PostgresDriver

/// A private RabbitMQ, Redis and, on request, PostgreSQL on free ports, which end with this process.
public struct Brokers: Sendable {
    /// A queue and the number of its messages.
    public struct Queue: Hashable, Sendable {
        /// Its name, such as `inventory.order-created`.
        public var name: String
        /// The number of messages that wait or are with a consumer.
        public var messages: Int
    }

    /// The address of RabbitMQ, with the virtual host `/`.
    public let rabbitMQ: String
    /// The address of Redis.
    public let redis: String
    /// The address of a database of PostgreSQL, or `nil` without PostgreSQL.
    public let postgres: String?
    private let script: Script
    /// The directory of their files.
    let directory: String

    /// Starts the brokers.
    ///
    /// - Parameters:
    ///   - script: The path of `Scripts/brokers`.
    ///   - directory: The directory of their files. It must not exist, and is removed when they are stopped.
    ///   - withPostgres: `true` to start PostgreSQL too.
    public init(script: String, directory: String, withPostgres: Bool = false) async throws {
        self.script = Script(path: script)
        self.directory = directory
        let exports: String
        do {
            exports = try await self.script.run(
                "start",
                "--only",
                withPostgres ? "all" : "both",
                "--dir",
                directory,
                "--for",
                "\(getpid())"
            )
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
        postgres = withPostgres ? try value("EVENTBUS_TEST_POSTGRES_URL") : nil
    }

    /// Creates a virtual host, so that several fleets can share one RabbitMQ.
    ///
    /// - Returns: The address of the virtual host.
    public func addVirtualHost(_ name: String) async throws -> String {
        try await script.run("ctl", directory, "-q", "add_vhost", name)
        try await script.run("ctl", directory, "-q", "set_permissions", "-p", name, "guest", ".*", ".*", ".*")
        return rabbitMQ.replacing("/%2F", with: "/\(name)")
    }

    /// Runs `rabbitmqctl`, and returns its output.
    @discardableResult
    func control(_ arguments: String...) async throws -> String {
        try await script.run(["ctl", directory, "-q"] + arguments)
    }

    /// Imports users, permissions and virtual hosts from a file in the format of RabbitMQ's definitions.
    public func importDefinitions(file: String) async throws {
        try await script.run("ctl", directory, "-q", "import_definitions", file)
    }

    /// Adds a user of Redis, or changes one.
    ///
    /// - Parameter rules: The name and the rules of the user, as in a configuration file after `user`.
    public func setRedisUser(_ rules: String) async throws {
        try await Script(path: "/usr/bin/redis-cli").run(
            ["-e", "-u", redis, "ACL", "SETUSER"] + rules.split(separator: " ").map { String($0) }
        )
    }

    /// Returns an address of RabbitMQ or Redis with another login, which is given as `name:password`.
    public static func address(_ address: String, login: String) -> String {
        address.replacing(/\/\/([^@\/]*@)?/, with: "//\(login)@", maxReplacements: 1)
    }

    /// Returns the queues of a virtual host.
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

    /// Redis as a member of the fleet. It keeps its data in memory only, so it is empty after a kill.
    public var redisMember: some FleetMember {
        BrokerMember(name: "redis", script: script, directory: directory)
    }

    /// PostgreSQL as a member of the fleet.
    public var postgresMember: some FleetMember {
        BrokerMember(name: "postgres", script: script, directory: directory)
    }

    /// Creates a schema in PostgreSQL, in which a service has its tables.
    ///
    /// - Returns: The connection string of the schema, or `nil` without PostgreSQL.
    func addSchema(_ name: String) async throws -> String? {
        guard let postgres else { return nil }
        let pool = try PostgresPool(postgres, size: 1)
        try await pool.write { transaction in try transaction.executeScript("CREATE SCHEMA \"\(name)\"") }
        await pool.close()
        return "\(postgres)?options=-csearch_path%3D\(name)"
    }

    /// Stops RabbitMQ as an administrator would.
    public func stopRabbitMQ() async throws {
        try await script.run("stop-rabbitmq", directory)
    }

    /// Starts RabbitMQ again after it was stopped.
    public func restartRabbitMQ() async throws {
        try await script.run("restart-rabbitmq", directory)
    }

    /// Stops all of them and removes their files, even in a cancelled task.
    public func stop() async throws {
        try await Self.stop(script, directory)
    }

    private static func stop(_ script: Script, _ directory: String) async throws {
        // In a separate task, because the script would be killed in a cancelled one.
        try await Task { _ = try await script.run("stop", directory) }.value
    }
}

/// One of the brokers, identified by the file with its process id.
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

    /// Returns a Boolean value indicating whether a process that is not a child of this one is running. Zombies are
    /// not.
    private func isRunning(_ pid: pid_t) -> Bool {
        guard let stat = try? String(contentsOfFile: "/proc/\(pid)/stat", encoding: .utf8),
            let state = stat.split(separator: ")").last?.split(separator: " ").first
        else { return false }
        return state != "Z" && state != "X"
    }
}

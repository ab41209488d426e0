import EventBus
import Glibc
import Testing

/// The Python client pika: the one of the system, or else that from PyPI in a separate virtual environment.
///
/// `EVENTBUS_TEST_PIKA_PYTHON` names another Python that has it.
actor Pika {
    private static let shared = Pika()
    private var preparing: Task<String, any Error>?

    private func python() async throws -> String {
        if let python = environment("EVENTBUS_TEST_PIKA_PYTHON") { return python }
        if let preparing { return try await preparing.value }
        let task = Task { () throws -> String in
            if (try? await EventBusRabbitTests.run("python3", ["-c", "import pika"])) != nil { return "python3" }
            // In the checkout, because another user could prepare a predictable folder in a directory that everyone may
            // write to.
            let directory = "\(Self.folder(3))/.venv/pika"
            let python = "\(directory)/bin/python"
            // Other processes may be creating it.
            let script = """
                set -e
                "$0/bin/python" -c 'import pika' 2>/dev/null && exit
                python3 -m venv "$0"
                "$0/bin/python" -m pip install --quiet pika==1.4.4
                """
            _ = try await EventBusRabbitTests.run("mkdir", ["-p", "\(Self.folder(3))/.venv"])
            _ = try await EventBusRabbitTests.run("flock", ["\(directory).lock", "sh", "-c", script, directory])
            return python
        }
        preparing = task
        return try await task.value
    }

    /// Returns the folder `levels` above the one that contains this file.
    private static func folder(_ levels: Int) -> String {
        #filePath.split(separator: "/", omittingEmptySubsequences: false).dropLast(levels + 1).joined(separator: "/")
    }

    /// Runs a command of `pika_client.py` and returns its output.
    @discardableResult
    static func run(_ command: String, _ arguments: String..., broker: TestBroker) async throws -> String {
        let script = "\(folder(1))/Interoperation/pika_client.py"
        return try await EventBusRabbitTests.run(try await shared.python(), [script, broker.url, command] + arguments)
    }
}

import EventBus
import Glibc
import Testing

/// pika, a Python client from PyPI, in a virtual environment of its own.
///
/// `EVENTBUS_TEST_PIKA_PYTHON` names a Python that has it already.
actor Pika {
    private static let shared = Pika()
    private var preparing: Task<String, any Error>?

    private func python() async throws -> String {
        if let python = environment("EVENTBUS_TEST_PIKA_PYTHON") { return python }
        if let preparing { return try await preparing.value }
        let task = Task { () throws -> String in
            let directory = "/tmp/eventbus-pika-\(getuid())"
            let python = "\(directory)/bin/python"
            // Other processes may be at it.
            let script = """
                set -e
                "$0/bin/python" -c 'import pika' 2>/dev/null && exit
                python3 -m venv "$0"
                "$0/bin/python" -m pip install --quiet pika==1.4.4
                """
            _ = try await EventBusRabbitTests.run("flock", ["\(directory).lock", "sh", "-c", script, directory])
            return python
        }
        preparing = task
        return try await task.value
    }

    /// Runs a command of `pika_client.py` and returns what it printed.
    @discardableResult
    static func run(_ command: String, _ arguments: String..., broker: TestBroker) async throws -> String {
        let script =
            #filePath.split(separator: "/", omittingEmptySubsequences: false).dropLast(2).joined(separator: "/")
            + "/Interoperation/pika_client.py"
        return try await EventBusRabbitTests.run(try await shared.python(), [script, broker.url, command] + arguments)
    }
}

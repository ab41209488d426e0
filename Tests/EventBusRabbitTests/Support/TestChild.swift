import ConnectionThread
import EventBus
import Glibc
import Testing

/// A test of this suite that runs in a separate process. It may be killed, and its threads, memory and crashes do not
/// affect others.
///
/// It is not an exit test, because each exit test blocks a thread of the pool while it waits, and two of them block all
/// threads.
enum TestChild {
    private static let variable = "EVENTBUS_TEST_CHILD"

    /// Returns a Boolean value indicating whether this process is the child that runs the test with this name. Such a
    /// test ends with its parent.
    static func isRunning(_ test: String) -> Bool {
        guard environment(variable) == test else { return false }
        _ = ending
        return true
    }

    /// Runs the test whose name contains this text until it ends. Returns its output. Throws if the test failed or was
    /// killed.
    static func run(_ test: String, _ variables: [String: String]) async throws -> String {
        var path = [CChar](repeating: 0, count: 4096)
        let length = readlink("/proc/self/exe", &path, path.count - 1)
        try #require(length > 0)
        let program = String(decoding: path[..<length].map { UInt8(bitPattern: $0) }, as: UTF8.self)
        return try await EventBusRabbitTests.run(
            program,
            ["--testing-library", "swift-testing", "--filter", test],
            environment: variables.merging([variable: test]) { $1 },
            holdsInput: true
        )
    }

    private static let ending: Void = {
        // The parent writes nothing, so the input ends with the parent.
        _ = startDetachedThread(name: "test-orphan", stackSize: 1 << 20) {
            var byte: UInt8 = 0
            while read(0, &byte, 1) > 0 || errno == EINTR { errno = 0 }
            _exit(1)
        }
    }()
}

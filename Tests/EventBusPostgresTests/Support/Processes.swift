import ConnectionThread
import EventBus
import Foundation
import Glibc
import Testing

/// Runs a program until it ends and returns its output, including errors. It blocks a separate thread.
///
/// Foundation's `Process` does not serve, because it waits for the processes that the program leaves behind, such as a
/// server.
@discardableResult
func run(_ program: String, _ arguments: [String]) async throws -> String {
    try await withCheckedThrowingContinuation { (continuation: CheckedContinuation<String, any Error>) in
        let problem = startDetachedThread(name: "test-process", stackSize: 1 << 20) {
            continuation.resume(with: Result { try runBlocking(program, arguments) })
        }
        if problem != 0 {
            continuation.resume(throwing: EventBusError(.unavailable, "no thread: \(String(errorNumber: problem))"))
        }
    }
}

/// Runs a program on the calling thread until it ends, and returns its output, including errors.
@discardableResult
func runBlocking(_ program: String, _ arguments: [String]) throws -> String {
    let output = FileManager.default.temporaryDirectory.appending(path: "eventbus-run-\(UUID().uuidString)")
    defer { try? FileManager.default.removeItem(at: output) }
    var actions = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&actions)
    defer { posix_spawn_file_actions_destroy(&actions) }
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
    // A file, because a server that the program starts in the background keeps a pipe open.
    posix_spawn_file_actions_addopen(&actions, 1, output.path, O_WRONLY | O_CREAT | O_APPEND, 0o600)
    posix_spawn_file_actions_adddup2(&actions, 1, 2)
    // The calling thread blocks signals, which a server could not be ended with if it inherited that.
    var attributes = posix_spawnattr_t()
    posix_spawnattr_init(&attributes)
    defer { posix_spawnattr_destroy(&attributes) }
    var blocked = sigset_t()
    sigemptyset(&blocked)
    posix_spawnattr_setsigmask(&attributes, &blocked)
    posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGMASK))
    let words = ([program] + arguments).map { strdup($0) } + [nil]
    defer { for word in words { free(word) } }
    var pid = pid_t()
    let problem = posix_spawnp(&pid, program, &actions, &attributes, words, environ)
    guard problem == 0 else { throw EventBusError(.unavailable, "no \(program): \(String(errorNumber: problem))") }
    var status: Int32 = 0
    while waitpid(pid, &status, 0) == -1 && errno == EINTR {}
    let text = String(decoding: try Data(contentsOf: output), as: UTF8.self)
    guard status == 0 else { throw EventBusError(.rejected, "\(program) failed with status \(status): \(text)") }
    return text
}

/// Returns the folder `levels` above the one that contains this file.
func folder(_ levels: Int) -> String {
    #filePath.split(separator: "/", omittingEmptySubsequences: false).dropLast(levels + 1).joined(separator: "/")
}

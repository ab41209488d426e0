import EventBus
import Glibc

/// A child process that dies with this process, because a shell in between ends it when its standard input is closed.
final class ChildProcess: Sendable {
    let pid: pid_t
    private let shell: pid_t
    private let lifeline: Locked<Int32?>

    /// Starts a program with the standard output of this process.
    init(_ arguments: [String], environment: [String: String] = [:]) throws {
        var input: [Int32] = [0, 0]
        var output: [Int32] = [0, 0]
        // One at a time, because a child must not inherit the lifeline of another one.
        pthread_mutex_lock(Self.spawning)
        defer { pthread_mutex_unlock(Self.spawning) }
        guard pipe(&input) == 0, pipe(&output) == 0 else {
            throw EventBusError(.unavailable, "no pipe")
        }
        for descriptor in input + output { _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC) }
        defer {
            close(input[0])
            close(output[0])
        }
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_adddup2(&actions, input[0], 0)
        posix_spawn_file_actions_adddup2(&actions, output[1], 3)

        // Threads of the runtime block signals. A shell that inherits that would wait for its child forever.
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        var noSignals = sigset_t()
        sigemptyset(&noSignals)
        posix_spawnattr_setsigmask(&attributes, &noSignals)
        posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGMASK))

        let script = #""$@" </dev/null 3>&- & echo $! >&3; exec 3>&-; read -r line; kill -KILL $! 2>/dev/null; wait $!"#
        let words = ["sh", "-c", script, "sh"] + arguments
        var argv = words.map { strdup($0) } + [nil]
        defer { for word in argv { free(word) } }
        let extra = environment.map { strdup("\($0.key)=\($0.value)") }
        defer { for word in extra { free(word) } }
        var variables: [UnsafeMutablePointer<CChar>?] = []
        var next = environ
        while let variable = next.pointee {
            variables.append(variable)
            next += 1
        }
        variables += extra
        variables.append(nil)

        var shell: pid_t = 0
        guard posix_spawn(&shell, "/bin/sh", &actions, &attributes, &argv, variables) == 0 else {
            throw EventBusError(.unavailable, "no process for \(arguments[0])")
        }
        close(output[1])
        var text: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 32)
        while text.last != UInt8(ascii: "\n") {
            let count = read(output[0], &buffer, buffer.count)
            guard count > 0 else { break }
            text += buffer[..<count]
        }
        pid = pid_t(String(decoding: text.dropLast(), as: UTF8.self)) ?? 0
        self.shell = shell
        lifeline = Locked(input[1])
        guard pid > 0 else { throw EventBusError(.unavailable, "\(arguments[0]) did not start") }
    }

    // Safe because it is written once, and then only locked and unlocked.
    private nonisolated(unsafe) static let spawning: UnsafeMutablePointer<pthread_mutex_t> = {
        let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
        pthread_mutex_init(mutex, nil)
        return mutex
    }()

    deinit { end() }

    func signal(_ number: Int32) {
        Glibc.kill(pid, number)
    }

    /// Ends the child and waits until it is gone.
    func end() {
        let descriptor = lifeline.withLock { lifeline in
            defer { lifeline = nil }
            return lifeline
        }
        guard let descriptor else { return }
        close(descriptor)
        var status: Int32 = 0
        waitpid(shell, &status, 0)
    }
}

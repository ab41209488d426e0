import ConnectionThread
import EventBus
import Glibc
import Testing

/// Returns a variable of the environment.
func environment(_ name: String) -> String? {
    getenv(name).map { String(cString: $0) }
}

/// A Boolean value indicating whether tests with many cases run all of them.
let isFull = environment("EVENTBUS_TEST_FULL") != nil

/// Returns the contents of a file.
func contents(of path: String) -> String? {
    guard let file = fopen(path, "r") else { return nil }
    defer { fclose(file) }
    var bytes: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 65_536)
    while true {
        let count = fread(&buffer, 1, buffer.count, file)
        if count == 0 { break }
        bytes += buffer[..<count]
    }
    return String(decoding: bytes, as: UTF8.self)
}

/// Creates a file with these contents in the directory for temporary files, and returns its path.
func temporaryFile(containing text: String) throws -> String {
    var template = Array("/tmp/eventbus-test.XXXXXX\0".utf8CString)
    let descriptor = mkstemp(&template)
    try #require(descriptor >= 0)
    defer { close(descriptor) }
    _ = text.withCString { write(descriptor, $0, strlen($0)) }
    return template.withUnsafeBufferPointer { $0.baseAddress.map { String(cString: $0) } ?? "" }
}

struct ProcessFailure: Error, CustomStringConvertible {
    var command: String
    var status: Int32
    var output: String

    var description: String { "\(command) ended with \(status): \(output)" }
}

/// Runs a program until it ends and returns its output, including errors. It blocks a separate thread.
///
/// Its input is empty, or with `holdsInput` a socket that ends with this process.
func run(
    _ program: String,
    _ arguments: [String],
    environment: [String: String] = [:],
    holdsInput: Bool = false
) async throws -> String {
    try await onThread { try runBlocking(program, arguments, environment, holdsInput: holdsInput) }
}

private func runBlocking(
    _ program: String,
    _ arguments: [String],
    _ variables: [String: String],
    holdsInput: Bool
) throws -> String {
    let output = try temporaryFile(containing: "")
    defer { unlink(output) }
    var actions = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&actions)
    defer { posix_spawn_file_actions_destroy(&actions) }
    var input: [Int32] = [-1, -1]
    if holdsInput {
        guard socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0, &input) == 0 else {
            throw ProcessFailure(command: program, status: errno, output: "no sockets for its input")
        }
        posix_spawn_file_actions_adddup2(&actions, input[0], 0)
    } else {
        posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
    }
    defer { for descriptor in input where descriptor >= 0 { close(descriptor) } }
    posix_spawn_file_actions_addopen(&actions, 1, output, O_WRONLY | O_APPEND, 0)
    posix_spawn_file_actions_adddup2(&actions, 1, 2)

    let argv = ([program] + arguments).map { strdup($0) } + [nil]
    var pairs: [String] = variables.map { "\($0)=\($1)" }
    var entry = environ
    while let pointer = entry.pointee {
        let text = String(cString: pointer)
        if !variables.keys.contains(where: { text.hasPrefix("\($0)=") }) { pairs.append(text) }
        entry += 1
    }
    let envp = pairs.map { strdup($0) } + [nil]
    defer { for pointer in argv + envp { free(pointer) } }
    var pid = pid_t()
    let problem = posix_spawnp(&pid, program, &actions, nil, argv, envp)
    guard problem == 0 else { throw ProcessFailure(command: program, status: problem, output: "not started") }
    var status: Int32 = 0
    while waitpid(pid, &status, 0) == -1 && errno == EINTR {}
    let text = contents(of: output) ?? ""
    guard status == 0 else {
        throw ProcessFailure(command: "\(program) \(arguments.joined(separator: " "))", status: status, output: text)
    }
    return text
}

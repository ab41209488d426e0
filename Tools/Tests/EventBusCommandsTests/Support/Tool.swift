import Foundation
import Glibc
import Testing

/// A run of the program as a process.
struct Tool: Sendable {
    /// The outcome of a run.
    struct Outcome: Sendable {
        var status: Int32
        var output: String
        var errors: String

        /// Both outputs together.
        var text: String { output + errors }
        /// The lines of the output.
        var lines: [String] { output.split(separator: "\n").map(String.init) }
    }

    /// The destination of the standard output of a program.
    enum Destination: Sendable {
        /// A file, whose contents are in the outcome.
        case file
        /// A pipe that nobody reads any more, as well as the standard error.
        case closedPipe
        /// A disk without free space.
        case fullDisk
    }

    /// A running program.
    struct Running: Sendable {
        var pid: pid_t
        /// The file with its standard error.
        fileprivate var errors: URL

        /// Waits until standard error contains a text.
        func wait(for text: String) async throws {
            let deadline = ContinuousClock.now + .seconds(20)
            while try !String(decoding: Data(contentsOf: errors), as: UTF8.self).contains(text) {
                try #require(ContinuousClock.now < deadline, "no \(text)")
                try await Task.sleep(for: .milliseconds(10))
            }
        }
    }

    /// The path of the program, which is in the directory of the tests unless EVENTBUS_TOOL names another one.
    private static var program: String {
        get throws {
            if let given = ProcessInfo.processInfo.environment["EVENTBUS_TOOL"] { return given }
            let tests = try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")
            let folder = URL(filePath: tests).deletingLastPathComponent()
            let neighbour = folder.appending(path: "eventbus").path(percentEncoded: false)
            if FileManager.default.isExecutableFile(atPath: neighbour) { return neighbour }
            // The tests may be run by a helper of the toolchain.
            let bundle = CommandLine.arguments.first { $0.hasSuffix(".xctest") } ?? ""
            let path = URL(filePath: bundle).deletingLastPathComponent().appending(path: "eventbus")
            return path.path(percentEncoded: false)
        }
    }

    /// Runs the program to its end.
    ///
    /// - Parameters:
    ///   - arguments: The arguments.
    ///   - environment: Further variables. Those of the tests' own brokers are not passed on.
    ///   - input: The standard input.
    ///   - destination: The destination of the standard output.
    ///   - whileRunning: A closure that is called after the start.
    static func run(
        _ arguments: [String],
        environment: [String: String] = [:],
        input: String = "",
        to destination: Destination = .file,
        whileRunning: (@Sendable (Running) async throws -> Void)? = nil
    ) async throws -> Outcome {
        let folder = FileManager.default.temporaryDirectory.appending(path: "eventbus-tool-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        func file(_ name: String) throws -> FileHandle {
            let path = folder.appending(path: name)
            try Data().write(to: path)
            return try FileHandle(forWritingTo: path)
        }
        let process = Process()
        process.executableURL = URL(filePath: try program)
        process.arguments = arguments
        var variables = ProcessInfo.processInfo.environment.filter { !$0.key.hasPrefix("EVENTBUS_") }
        variables.merge(environment) { $1 }
        process.environment = variables
        let inputFile = folder.appending(path: "input")
        try Data(input.utf8).write(to: inputFile)
        process.standardInput = try FileHandle(forReadingFrom: inputFile)
        let (output, errors) = (try file("output"), try file("errors"))
        switch destination {
        case .file: (process.standardOutput, process.standardError) = (output, errors)
        case .fullDisk:
            process.standardOutput = try FileHandle(forWritingTo: URL(filePath: "/dev/full"))
            process.standardError = errors
        case .closedPipe:
            let pipe = Pipe()
            try pipe.fileHandleForReading.close()
            (process.standardOutput, process.standardError) = (pipe, pipe)
        }
        let (ends, end) = AsyncStream<Void>.makeStream()
        process.terminationHandler = { _ in end.finish() }
        try process.run()
        do {
            try await whileRunning?(
                Running(pid: process.processIdentifier, errors: folder.appending(path: "errors"))
            )
        } catch {
            process.terminate()
            throw error
        }
        for await _ in ends {}
        // The test was cancelled.
        guard !process.isRunning else {
            process.terminate()
            throw CancellationError()
        }
        func contents(_ name: String) throws -> String {
            String(decoding: try Data(contentsOf: folder.appending(path: name)), as: UTF8.self)
        }
        return Outcome(
            status: process.terminationStatus,
            output: try contents("output"),
            errors: try contents("errors")
        )
    }
}

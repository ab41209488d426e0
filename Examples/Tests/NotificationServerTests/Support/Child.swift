import Foundation
import ServiceTestKit
import Testing

/// A process beside the test, which ends with it: its standard input is closed then.
final class Child: Sendable {
    private let process = Process()
    private let input = Pipe()
    private let output = Pipe()

    /// Starts a program.
    init(_ program: String, _ arguments: [String]) throws {
        process.executableURL = URL(filePath: "/usr/bin/env")
        process.arguments = [program] + arguments
        process.standardInput = input
        process.standardOutput = output
        try process.run()
    }

    deinit {
        if process.isRunning { Foundation.kill(process.processIdentifier, SIGKILL) }
    }

    /// The first line that it prints, without its end; what it printed of it if it ended before.
    func firstLine() async -> String {
        await withCheckedContinuation { continuation in
            DispatchQueue.global().async { [output] in
                var line = Data()
                while true {
                    let piece = output.fileHandleForReading.availableData
                    line += piece.prefix { $0 != UInt8(ascii: "\n") }
                    if piece.isEmpty || piece.contains(UInt8(ascii: "\n")) { break }
                }
                continuation.resume(returning: String(decoding: line, as: UTF8.self))
            }
        }
    }

    /// kill -9, and waits for its end.
    func kill() async throws {
        if process.isRunning { Foundation.kill(process.processIdentifier, SIGKILL) }
        try await eventually { !self.process.isRunning }
    }
}

import Foundation
import ServiceTestKit
import Testing

/// A separate process that ends with the test, because its standard input is closed then.
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

    /// Returns the first printed line without its end, or a part of it if the process ended before.
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

    /// Sends SIGKILL, and waits for the end of the process.
    func kill() async throws {
        if process.isRunning { Foundation.kill(process.processIdentifier, SIGKILL) }
        try await eventually { !self.process.isRunning }
    }
}

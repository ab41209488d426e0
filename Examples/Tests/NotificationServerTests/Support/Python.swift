import Foundation
import Synchronization

/// Python, which reads the service's files and provides the mail server.
enum Python {
    /// The root of the checkout.
    static var checkout: URL {
        var folder = URL(filePath: #filePath)
        for _ in 0..<5 { folder.deleteLastPathComponent() }
        return folder
    }

    /// Returns the path of a script in the folder of this file.
    static func script(_ name: String) -> String {
        URL(filePath: #filePath).deletingLastPathComponent().appending(path: name).path
    }

    /// Runs a program to its end, and returns its output.
    static func run(_ program: String, _ arguments: [String]) async throws -> Data {
        let process = Process()
        process.executableURL = URL(filePath: "/usr/bin/env")
        process.arguments = [program] + arguments
        let folder = FileManager.default.temporaryDirectory
        let output = folder.appending(path: "python-\(UUID().uuidString)")
        try Data().write(to: output)
        defer { try? FileManager.default.removeItem(at: output) }
        // A file instead of a pipe, so that nobody has to read while it runs.
        process.standardOutput = try FileHandle(forWritingTo: output)
        process.standardError = process.standardOutput
        process.standardInput = FileHandle.nullDevice
        try await withCheckedThrowingContinuation { (continuation: CheckedContinuation<Void, any Error>) in
            process.terminationHandler = { _ in continuation.resume() }
            do {
                try process.run()
            } catch {
                process.terminationHandler = nil
                continuation.resume(throwing: error)
            }
        }
        let data = try Data(contentsOf: output)
        guard process.terminationStatus == 0 else {
            throw PythonFailure(arguments: arguments, output: String(decoding: data, as: UTF8.self))
        }
        return data
    }
}

/// The error of a failed script.
struct PythonFailure: Error, CustomStringConvertible {
    var arguments: [String]
    var output: String

    var description: String { "\(arguments.joined(separator: " ")): \(output)" }
}

/// One message of a mailbox file as read by Python.
struct ReadMessage: Decodable {
    var separator: String
    var headers: [[String]]
    var to: [String]
    var date: String
    var text: String
    var longestLine: Int
    var isASCII: Bool
    var defects: [String]

    /// Returns the value of a header that occurs once.
    func header(_ name: String) -> String? {
        let values = headers.filter { $0.first?.lowercased() == name.lowercased() }
        return values.count == 1 ? values[0].last : nil
    }

    /// Returns the messages of a mailbox file.
    static func all(in path: String) async throws -> [ReadMessage] {
        let json = try await Python.run("python3", [Python.script("read_mailbox.py"), path])
        return try JSONDecoder().decode([ReadMessage].self, from: json)
    }
}

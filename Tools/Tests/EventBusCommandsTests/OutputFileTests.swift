import Foundation
import Glibc
import Testing

@testable import EventBusCommands

/// The file of a command's output.
struct OutputFileTests {
    private struct Broken: Error {}

    private func inFolder(_ body: (_ folder: String) async throws -> Void) async throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: UUID().uuidString)
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        try await body(folder.path(percentEncoded: false))
    }

    @Test func `a file has its name when it is complete, and not before`() async throws {
        try await inFolder { folder in
            let path = folder + "/letters.jsonl"
            try await OutputFile.with(path) { descriptor in
                try StandardOutput.write(Array("one".utf8), to: descriptor)
                #expect(!FileManager.default.fileExists(atPath: path))
            }
            #expect(try String(contentsOfFile: path, encoding: .utf8) == "one")
            #expect(try FileManager.default.contentsOfDirectory(atPath: folder) == ["letters.jsonl"])
            var status = stat()
            #expect(stat(path, &status) == 0 && status.st_mode & 0o077 == 0)
            // An existing file stays, also if it appears meanwhile.
            let failure = await #expect(throws: CommandFailure.self) { try await OutputFile.with(path) { _ in } }
            #expect(failure?.message.contains("File exists") == true)
            let late = await #expect(throws: CommandFailure.self) {
                try await OutputFile.with(path + "2") { _ in try Data("mine".utf8).write(to: URL(filePath: path + "2"))
                }
            }
            #expect(late?.message.contains("the output is in \(path)2.partial-") == true, "\(late?.message ?? "")")
            #expect(try String(contentsOfFile: path + "2", encoding: .utf8) == "mine")
        }
    }

    @Test func `a failure leaves no file behind`() async throws {
        try await inFolder { folder in
            await #expect(throws: Broken.self) {
                try await OutputFile.with(folder + "/letters.jsonl") { _ in throw Broken() }
            }
            #expect(try FileManager.default.contentsOfDirectory(atPath: folder).isEmpty)
            let outcome = try await Tool.run([
                "dead", "export", "--group", "a", "--output", folder + "/b", "--url", "amqp://a:b@127.0.0.1:1/",
            ])
            #expect(outcome.status == 69, "\(outcome)")
            #expect(try FileManager.default.contentsOfDirectory(atPath: folder).isEmpty)
        }
    }
}

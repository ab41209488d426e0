import EventBus
import EventBusRabbit
import Foundation
import Testing

/// Commands whose output cannot be written: their work and their exit code are the same.
@Suite(.enabled(if: TestBroker.isThere), .timeLimit(.minutes(2)))
struct ClosedOutputTests {
    private static let lost: [Tool.Destination] = [.closedPipe, .fullDisk]

    @Test(arguments: lost)
    func `a change is completed without a reader`(destination: Tool.Destination) async throws {
        let scene = try await Scene()
        let folder = FileManager.default.temporaryDirectory.appending(path: scene.group)
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let files = try ["first", "second"].map { name in
            let queue = QueueSpecification(
                group: scene.group,
                name: name,
                patterns: [try TopicPattern(validating: "\(scene.group).\(name)")],
                prefetch: 1
            )
            let path = folder.appending(path: name).path(percentEncoded: false)
            try RabbitTopology(of: [queue], with: scene.configuration).write(to: path)
            return path
        }
        let outcome = try await Tool.run(
            ["topology", "apply"] + files,
            environment: scene.environment,
            to: destination
        )
        #expect(outcome.status == (destination == .fullDisk ? 1 : 0), "\(outcome)")
        if destination == .fullDisk { #expect(outcome.errors.contains("No space left"), "\(outcome)") }
        for name in ["first", "second"] { #expect(try await scene.count("\(scene.group).\(name)") == 0) }
    }

    @Test(arguments: lost)
    func `a round tells that letters stay`(destination: Tool.Destination) async throws {
        let scene = try await Scene()
        var orphan = try scene.letter(1)
        orphan.queue = "\(scene.group).gone"
        try await scene.add([orphan, try scene.letter(2)])
        let outcome = try await scene.run("dead", "replay", "--all", to: destination)
        #expect(outcome.status == 1, "\(outcome)")
        try await scene.wait(for: 1, in: scene.queue)
        try await scene.wait(for: 1, in: "\(scene.group).dead")
    }

    @Test func `the doctor has findings, and an export is not whole, also without a reader`() async throws {
        let scene = try await Scene()
        try await scene.add([try scene.letter(1)])
        let doctor = try await scene.run("doctor", "--watch", "0", "--queue", scene.queue, to: .closedPipe)
        #expect(doctor.status == 1)
        let export = try await scene.run("dead", "export", to: .closedPipe)
        #expect(export.status == 1)
        // It would have ended by the signal, or with a failure.
        let list = try await scene.run("dead", "list", to: .closedPipe)
        #expect(list.status == 0)
    }
}

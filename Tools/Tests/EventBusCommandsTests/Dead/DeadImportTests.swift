import EventBus
import Foundation
import Glibc
import Testing

@testable import EventBusCommands

/// The import of dead letters, as a program against a broker.
@Suite(.enabled(if: TestBroker.isThere), .timeLimit(.minutes(3)))
struct DeadImportTests {
    private static func long(_ count: Int) -> String { String(repeating: "x", count: count) }

    private func lines(_ count: Int, of scene: Scene) throws -> [String] {
        try (1...count).map { number in
            String(decoding: try StandardOutput.encoded(LetterLine(try scene.letter(number))), as: UTF8.self)
        }
    }

    private func run(
        _ lines: ArraySlice<String>,
        _ options: [String] = [],
        of scene: Scene,
        whileRunning: (@Sendable (Tool.Running) async throws -> Void)? = nil
    ) async throws -> Tool.Outcome {
        try await Tool.run(
            ["dead", "import", "-", "--exchange", scene.exchange] + options,
            environment: scene.environment,
            input: lines.joined(separator: "\n"),
            whileRunning: whileRunning
        )
    }

    @Test(arguments: [
        (#"{"id":"\#(long(300))","#, "the event id has 300 bytes"),
        (#"{"id":"a","headers":{"x-eventbus-attempts":1},"#, "reserved"),
        (#"{"id":"a","headers":{"n":{"$double":"nan"}},"#, "not finite"),
        (#"{"id":"a","headers":{"n":"\#(long(140_000))"},"#, "the broker's frames hold"),
        (#"{"id":"a","partitionKey":"\#(long(256))","#, "the partition key has 256 bytes"),
        (#"{"id":"a","#, "names no group"),
    ])
    func `the limits of every line are checked before one is added`(beginning: String, reason: String) async throws {
        let scene = try await Scene()
        let letters = try lines(3, of: scene)
        let group = reason.contains("group") ? #"a\u001bb"# : scene.group
        let rest =
            #""topic":"order.created","time":"2026-01-31T12:00:00Z","version":1,"contentType":"text/plain","#
            + #""payload":"","queue":"q","reason":"undecodable","errorType":"E","error":"e","attempts":1,"#
            + #""lastFailure":"2026-01-31T12:00:00Z","group":"\#(group)"}"#
        let text = letters[..<2] + [beginning + rest] + letters[2...]
        for options in [[], ["--dry-run"]] {
            let outcome = try await run(text, options, of: scene)
            #expect(outcome.status == 65, "\(outcome)")
            #expect(outcome.errors.hasPrefix("eventbus: -: line 3: "), "\(outcome.errors)")
            #expect(outcome.errors.contains(reason), "\(outcome.errors)")
            #expect(!outcome.text.contains("\u{1B}"))
            #expect(outcome.output.isEmpty)
        }
        #expect(try await scene.count("\(scene.group).dead") == 0)
    }

    @Test func `an import that fails says what was added`() async throws {
        let scene = try await Scene()
        let dead = "\(scene.group).dead"
        try await TestBroker.control(
            "set_policy",
            "--apply-to",
            "queues",
            scene.group,
            "^\(dead)$",
            #"{"max-length":150,"overflow":"reject-publish"}"#
        )
        let outcome = try await run(lines(1000, of: scene)[...], of: scene)
        try await TestBroker.control("clear_policy", scene.group)
        #expect(outcome.status == 1, "\(outcome)")
        let added = try #require(outcome.output.split(separator: " ").dropFirst().first.flatMap { Int($0) })
        #expect((100..<1000).contains(added))
        #expect(outcome.output == "\(scene.group): \(added) of 1000 dead letters added\n")
        let line = added / 100 * 100 + 1
        #expect(outcome.errors.contains("everything before line \(line) was added"), "\(outcome.errors)")
        let rest = "of the lines \(line) to \(line + 99) \(added % 100) were"
        #expect(outcome.errors.contains(rest), "\(outcome.errors)")
        try await scene.wait(for: added, in: dead)
    }

    @Test func `an interrupted import can be continued without a loss or a repetition`() async throws {
        let scene = try await Scene()
        let dead = "\(scene.group).dead"
        let lines = try lines(20_000, of: scene)
        let first = try await run(lines[...], of: scene) { running in
            try await scene.wait(for: 1, in: dead, atLeast: true)
            kill(running.pid, SIGINT)
        }
        #expect(first.status == 130, "\(first)")
        let next = try #require(first.errors.split(separator: " ").first { $0.hasPrefix("+") }?.dropFirst())
        let added = try #require(Int(next)) - 1
        #expect((1..<20_000).contains(added))
        #expect(first.output == "\(scene.group): \(added) of 20000 dead letters added\n")
        try await scene.wait(for: added, in: dead)
        let second = try await run(lines[added...], of: scene)
        #expect(second.status == 0, "\(second)")
        try await scene.wait(for: 20_000, in: dead)
        _ = try await scene.run("dead", "discard", "--all", "--yes")
    }
}

import EventBus
import Foundation
import Glibc
import Testing

@testable import EventBusCommands

/// The commands for dead letters, as a program against a broker.
@Suite(.enabled(if: TestBroker.isThere), .timeLimit(.minutes(3)))
struct DeadCommandTests {
    private struct Group: Decodable {
        var count: Int
        var topic: String
        var reason: String
        var error: String
        var example: String
    }

    private struct Outcome: Decodable, Equatable {
        var read: Int
        var changed: Int
        var interrupted: Bool
    }

    private func decoded<Value: Decodable>(_ outcome: Tool.Outcome, as: Value.Type = Value.self) throws -> [Value] {
        try outcome.lines.map { try JSONDecoder().decode(Value.self, from: Data($0.utf8)) }
    }

    private func add(_ count: Int, to scene: Scene) async throws {
        try await scene.add(
            (1...count).map { number in
                number.isMultiple(of: 5)
                    ? try scene.letter(
                        number,
                        topic: "order.cancelled",
                        reason: .undecodable,
                        error: "not JSON",
                        age: 7_200_000
                    )
                    : try scene.letter(number)
            }
        )
    }

    @Test func `dead letters are grouped, listed and shown, and stay`() async throws {
        let scene = try await Scene()
        try await add(20, to: scene)
        let groups: [Group] = try decoded(try await scene.run("dead", "groups", "--json"))
        #expect(groups.map(\.count) == [16, 4])
        #expect(groups.map(\.topic) == ["order.created", "order.cancelled"])
        #expect(groups.map(\.reason) == ["attempts_exhausted", "undecodable"])
        #expect(groups.map(\.error) == ["no stock for #", "not JSON"])

        let table = try await scene.run("dead", "groups")
        #expect(table.status == 0)
        #expect(table.output.contains("Shop.StockError: no stock for #"), "\(table)")
        #expect(table.output.contains("20 dead letters"))
        #expect(table.output.contains("2h 00m"))

        let list: [LetterLine] = try decoded(
            try await scene.run(
                "dead",
                "list",
                "--json",
                "--where",
                "payload.total > 17",
                "--where",
                "header.tenant = acme"
            )
        )
        #expect(list.map(\.event.id) == ["event-18", "event-20"])
        let recent = try await scene.run("dead", "list", "--since", "1h", "--error", "StockError", "--limit", "3")
        #expect(recent.output.contains("event-3 ") && !recent.output.contains("event-5 "), "\(recent)")
        #expect(recent.errors.contains("more than 3"))

        let shown = try await scene.run("dead", "show", "event-7")
        #expect(shown.output.contains("\"total\": 7"), "\(shown)")
        #expect(shown.output.contains("attempts_exhausted"))
        let missing = try await scene.run("dead", "show", "event-99")
        #expect(missing.status == 1)
        #expect(missing.errors.contains("event-99"))
        try await scene.wait(for: 20, in: "\(scene.group).dead")
    }

    @Test func `dead letters are replayed selectively, moved and discarded`() async throws {
        let scene = try await Scene()
        try await add(20, to: scene)
        let dead = "\(scene.group).dead"
        let none = try await scene.run("dead", "replay")
        #expect(none.status == 64)
        #expect(none.errors.contains("--all"))

        let dry: [Outcome] = try decoded(
            try await scene.run("dead", "replay", "--where", "payload.total > 10", "--dry-run", "--json")
        )
        #expect(dry == [Outcome(read: 20, changed: 10, interrupted: false)])
        try await scene.wait(for: 20, in: dead)

        let replayed: [Outcome] = try decoded(
            try await scene.run(
                "dead",
                "replay",
                "--where",
                "payload.total > 10",
                "--limit",
                "4",
                "--rate",
                "1000",
                "--json"
            )
        )
        // Those after the limit are not read.
        #expect(replayed == [Outcome(read: 14, changed: 4, interrupted: false)])
        try await scene.wait(for: 4, in: scene.queue)
        try await scene.wait(for: 16, in: dead)

        let moved = try await scene.run("dead", "move", "--to", "\(scene.group).renamed", "--topic", "order.cancelled")
        #expect(moved.status == 0, "\(moved)")
        #expect(moved.output.contains("4 of 16 dead letters moved"), "\(moved)")
        try await scene.wait(for: 4, in: "\(scene.group).renamed")
        let left = 12
        let lost = try await scene.run("dead", "move", "--to", "\(scene.group).none", "--id", "event-1")
        #expect(lost.status == 1)
        #expect(lost.errors.contains("\(scene.group).none"), "\(lost)")
        try await scene.wait(for: left, in: dead)

        let counted = try await scene.run("dead", "discard", "--all")
        #expect(counted.status == 0)
        #expect(counted.output.contains("would be discarded"))
        #expect(counted.errors.contains("--yes"))
        let discarded = try await scene.run("dead", "discard", "--all", "--yes")
        #expect(discarded.output.contains("\(left) of \(left) dead letters discarded"), "\(discarded)")
        try await scene.wait(for: 0, in: dead)
    }

    @Test func `an export is a file of its own that can be imported`() async throws {
        let scene = try await Scene()
        try await add(10, to: scene)
        let folder = FileManager.default.temporaryDirectory.appending(path: UUID().uuidString)
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let path = folder.appending(path: "letters.jsonl").path(percentEncoded: false)
        let exported = try await scene.run("dead", "export", "--output", path)
        #expect(exported.status == 0, "\(exported)")
        #expect(exported.errors.contains("10 dead letters written"))
        var status = stat()
        #expect(stat(path, &status) == 0 && status.st_mode & 0o077 == 0)
        let again = try await scene.run("dead", "export", "--output", path)
        #expect(again.status == 1)

        try await scene.wait(for: 10, in: "\(scene.group).dead")
        _ = try await scene.run("dead", "discard", "--all", "--yes")
        try await scene.wait(for: 0, in: "\(scene.group).dead")
        let text = try String(contentsOfFile: path, encoding: .utf8)
        let imported = try await Tool.run(
            ["dead", "import", "-", "--exchange", scene.exchange],
            environment: scene.environment,
            input: text
        )
        #expect(imported.status == 0, "\(imported)")
        #expect(imported.output.contains("10 dead letters added"))
        try await scene.wait(for: 10, in: "\(scene.group).dead")
        let second = try await scene.run("dead", "export")
        #expect(second.output == text)

        let broken = try await Tool.run(
            ["dead", "import", "-", "--exchange", scene.exchange],
            environment: scene.environment,
            input: text + "{\"id\": 1}\n"
        )
        #expect(broken.status == 65)
        #expect(broken.errors.contains("line 11"), "\(broken)")
        try await scene.wait(for: 10, in: "\(scene.group).dead")
    }

    @Test func `every round with a limit takes the oldest and leaves the others in their place`() async throws {
        let scene = try await Scene()
        try await add(60, to: scene)
        let dead = "\(scene.group).dead"
        var left = 60
        for command in [["replay"], ["move", "--to", "\(scene.group).renamed"], ["discard", "--yes"]] {
            for limit in [1, 16, 3] {
                let outcome = try await Tool.run(
                    ["dead"] + command + ["--all", "--limit", "\(limit)", "--json"] + scene.options,
                    environment: scene.environment
                )
                #expect(outcome.status == 0, "\(outcome)")
                let changed: [Outcome] = try decoded(outcome)
                #expect(changed == [Outcome(read: limit, changed: limit, interrupted: false)])
                left -= limit
                // At once, because a letter that is still in flight would be missed by the next command.
                #expect(try await scene.count(dead) == left)
            }
        }
        #expect(left == 0)
        #expect(try await scene.count(scene.queue) == 20)
        #expect(try await scene.count("\(scene.group).renamed") == 20)
    }

    @Test func `a limit counts what was done over all groups, also if some letters stay`() async throws {
        let scene = try await Scene()
        var orphan = try scene.letter(1)
        orphan.queue = "\(scene.group).gone"
        try await scene.add([orphan] + (2...6).map { try scene.letter($0) })
        let outcome = try await scene.run("dead", "replay", "--all", "--limit", "2", "--json")
        #expect(outcome.status == 1, "\(outcome)")
        #expect(outcome.errors.contains("\(scene.group).gone"), "\(outcome)")
        let done: [Outcome] = try decoded(outcome)
        #expect(done == [Outcome(read: 3, changed: 2, interrupted: false)])
        #expect(try await scene.count("\(scene.group).dead") == 4)
        #expect(try await scene.count(scene.queue) == 2)
    }

    @Test func `an interrupted round ends with 130 and can be continued without a loss or a repetition`() async throws {
        let scene = try await Scene()
        try await add(1000, to: scene)
        let first = try await scene.run("dead", "replay", "--all", "--rate", "100", "--json") { running in
            try await scene.wait(for: 10, in: scene.queue, atLeast: true)
            kill(running.pid, SIGINT)
        }
        #expect(first.status == 130, "\(first)")
        #expect(first.errors.contains("--before"))
        let outcome: [Outcome] = try decoded(first)
        let done = try #require(outcome.first?.changed)
        #expect((10..<1000).contains(done))
        // Those after the interrupt are not read either.
        #expect(try #require(outcome.first?.read) < 1000)
        try await scene.wait(for: 1000 - done, in: "\(scene.group).dead")
        try await scene.wait(for: done, in: scene.queue)
        let second = try await scene.run("dead", "replay", "--all", "--before", "0s")
        #expect(second.status == 0, "\(second)")
        try await scene.wait(for: 0, in: "\(scene.group).dead")
        try await scene.wait(for: 1000, in: scene.queue)
    }
}

import EventBus
import EventBusRabbit
import Foundation
import Testing

/// The commands for the objects on a broker, with a file that a service writes.
@Suite(.enabled(if: TestBroker.isThere), .timeLimit(.minutes(2)))
struct TopologyCommandTests {
    @Test func `the file of a service is compared with the broker and declared`() async throws {
        let group = TestBroker.freshName()
        let url = try #require(TestBroker.url)
        var configuration = try RabbitConfiguration(uri: url)
        configuration.exchange = "events-\(group)"
        let bus = try EventBus(transport: .rabbit(configuration))
        let pattern = try TopicPattern(validating: "\(group).#")
        bus.subscribe(to: pattern, group: group, name: "orders") { _, _ in }
        bus.subscribe(to: pattern, group: group, name: "keyed", options: .init(ordering: .byPartitionKey)) { _, _ in }
        bus.subscribe(to: pattern, group: group, name: "everywhere", options: .init(broadcast: true)) { _, _ in }
        let folder = FileManager.default.temporaryDirectory.appending(path: group)
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let file = folder.appending(path: "topology.json").path(percentEncoded: false)
        try RabbitTopology(of: bus, with: configuration).write(to: file)
        func run(_ arguments: String...) async throws -> Tool.Outcome {
            try await Tool.run(["topology"] + arguments, environment: ["EVENTBUS_URL": url])
        }

        let before = try await run("diff", file)
        #expect(before.status == 1, "\(before)")
        for object in ["events-\(group)", "\(group).dead", "\(group).orders", "\(group).keyed"] {
            #expect(before.output.contains("+ \(object): missing\n"), "\(before)")
        }
        #expect(!before.output.contains("everywhere"))
        let applied = try await run("apply", file)
        #expect(applied.status == 0, "\(applied)")
        #expect(applied.output.contains("2 subscriptions declared"))
        let after = try await run("diff", file)
        #expect(after.status == 0, "\(after)")
        #expect(after.output == "the broker has everything\n")
        let shown = try await run("show", file)
        #expect(shown.output.contains("\(group).orders"), "\(shown)")
        #expect(shown.output.contains("\(group).#"))

        let text = try String(contentsOfFile: file, encoding: .utf8)
        try text.replacing("quorum", with: "classic").write(toFile: file, atomically: true, encoding: .utf8)
        let changed = try await run("diff", file, "--json")
        #expect(changed.status == 1)
        #expect(changed.output.contains("queue '\(group).orders' exists with"), "\(changed)")
        #expect(!changed.output.contains("\"isMissing\":true"))

        try "{}".write(toFile: file, atomically: true, encoding: .utf8)
        let broken = try await run("show", file)
        #expect(broken.status == 65)
        #expect(broken.errors.contains("RabbitTopology.write"))
    }
}

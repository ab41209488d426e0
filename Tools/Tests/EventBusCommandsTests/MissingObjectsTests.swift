import EventBus
import EventBusRabbit
import Foundation
import Testing

/// Commands on a broker that lacks objects that they do not need.
@Suite(.enabled(if: TestBroker.isThere), .timeLimit(.minutes(5)))
struct MissingObjectsTests {
    @Test func `a lost delay level or exchange keeps nobody from the dead letters`() async throws {
        let name = TestBroker.freshName()
        let scene = try await Scene(on: try await TestBroker.addVirtualHost(name))
        try await scene.add((1...6).map { try scene.letter($0) })
        try await TestBroker.control("delete_queue", "--vhost", name, "eventbus.delay.v1.7")

        let groups = try await scene.run("dead", "groups")
        #expect(groups.status == 0, "\(groups)")
        #expect(groups.output.contains("6 dead letters"), "\(groups)")
        let replayed = try await scene.run("dead", "replay", "--id", "event-1")
        #expect(replayed.status == 0, "\(replayed)")
        try await scene.wait(for: 1, in: scene.queue)
        let exported = try await scene.run("dead", "export")
        #expect(exported.lines.count == 5, "\(exported)")
        let imported = try await Tool.run(
            ["dead", "import", "-", "--exchange", scene.exchange],
            environment: scene.environment,
            input: exported.output
        )
        #expect(imported.status == 0, "\(imported)")
        let story = try await scene.run("story", "order-2")
        #expect(story.status == 0, "\(story)")
        func publish(_ options: String...) async throws -> Tool.Outcome {
            try await Tool.run(
                ["publish", "\(scene.group).created", "--exchange", scene.exchange] + options,
                environment: scene.environment
            )
        }
        let published = try await publish()
        #expect(published.status == 0, "\(published)")
        let delayed = try await publish("--delay", "60")
        #expect(delayed.status == 1)
        #expect(delayed.errors.contains("eventbus.delay.v1.7"), "\(delayed)")

        try await TestBroker.control(
            "eval",
            "rabbit_exchange:delete(rabbit_misc:r(<<\"\(name)\">>, exchange, <<\"\(scene.exchange)\">>), false, <<\"test\">>)."
        )
        let discarded = try await scene.run("dead", "discard", "--id", "event-2", "--yes")
        #expect(discarded.status == 0, "\(discarded)")
        #expect(discarded.output.contains("dead letters discarded"), "\(discarded)")
        #expect(discarded.errors.contains("no exchange \(scene.exchange)"), "\(discarded)")
        let lost = try await publish()
        #expect(lost.status == 1, "\(lost)")
        #expect(lost.errors.contains("--exchange"), "\(lost)")
        try await TestBroker.control("delete_vhost", name)
    }
}

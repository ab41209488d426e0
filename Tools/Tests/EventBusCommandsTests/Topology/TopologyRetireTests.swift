import EventBus
import EventBusRabbit
import Foundation
import Testing

/// The commands that plan the change from one release to the next, and remove what it leaves behind.
@Suite(.enabled(if: TestBroker.isThere), .timeLimit(.minutes(2)))
struct TopologyRetireTests {
    /// The files of two releases. The later one has `fresh` instead of `former`.
    private struct Releases: Sendable {
        let group = TestBroker.freshName()
        let url: String
        var configuration: RabbitConfiguration
        let folder: URL

        var old: String { folder.appending(path: "old.json").path(percentEncoded: false) }
        var new: String { folder.appending(path: "new.json").path(percentEncoded: false) }

        init() async throws {
            url = try #require(TestBroker.url)
            configuration = try RabbitConfiguration(uri: url)
            configuration.exchange = "events-\(group)"
            folder = FileManager.default.temporaryDirectory.appending(path: group)
            try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
            for (file, name) in [(old, "former"), (new, "fresh")] {
                let queues = [
                    QueueSpecification(
                        group: group,
                        name: name,
                        patterns: [try TopicPattern(validating: "\(group).order.#")],
                        prefetch: 1
                    )
                ]
                try RabbitTopology(of: queues, with: configuration).write(to: file)
                try await RabbitTransport.declareTopology(for: queues, on: configuration)
            }
        }

        func run(_ arguments: String...) async throws -> Tool.Outcome {
            try await Tool.run(["topology"] + arguments, environment: ["EVENTBUS_URL": url])
        }

        /// Publishes events to the queues of both releases.
        func publish(_ topics: [String]) async throws {
            let publisher = try EventBus(transport: .rabbit(configuration))
            try await publisher.withRunning {
                for topic in topics {
                    _ = try await publisher.publish(
                        Envelope(topic: try Topic(validating: "\(group).\(topic)"), payload: Array("{}".utf8))
                    )
                }
            }
        }

        func state(_ name: String) async throws -> BrokerInspection.Queue {
            try await RabbitTransport.inspect(queues: ["\(group).\(name)"], on: configuration).queues[0]
        }
    }

    @Test func `a queue that is no longer needed is planned, moved and deleted`() async throws {
        let releases = try await Releases()
        defer { try? FileManager.default.removeItem(at: releases.folder) }
        let (group, old, new) = (releases.group, releases.old, releases.new)
        try await releases.publish((0..<250).map { "order.created.\($0)" })

        let plan = try await releases.run("plan", new, "--former", old)
        #expect(plan.status == 1, "\(plan)")
        #expect(
            plan.output.contains("- \(group).former: no service needs it any more; it holds 250 events\n  → let an"),
            "\(plan)"
        )
        let lines = try await releases.run("plan", new, "--former", old, "--json")
        #expect(lines.output.contains("\"events\":250"), "\(lines)")

        let refused = try await releases.run("retire", new, "--former", old)
        #expect(refused.status == 1)
        #expect(refused.output.hasPrefix("\(group).former: kept; it holds 250 events; let an instance"), "\(refused)")
        let tried = try await releases.run("retire", new, "--former", old, "--move-to", "\(group).fresh", "--dry-run")
        #expect(tried.status == 0)
        #expect(tried.output == "\(group).former: would be deleted after 250 events were moved\n", "\(tried)")
        #expect(try await releases.state("former").events == 250)

        let wrong = try await releases.run("retire", new, "--former", old, "--move-to", "\(group).none")
        #expect(wrong.status == 64)
        let needed = try await releases.run("retire", new, "--former", old, "--queue", "\(group).fresh")
        #expect(needed.status == 64)
        #expect(needed.errors.contains("still needs"))

        let retired = try await releases.run("retire", new, "--former", old, "--move-to", "\(group).fresh")
        #expect(retired.status == 0, "\(retired)")
        #expect(retired.output == "\(group).former: 250 events moved, deleted\n", "\(retired)")
        #expect(try await releases.state("former").isMissing)
        #expect(try await releases.state("fresh").events == 500)
        let again = try await releases.run("retire", new, "--former", old, "--json")
        #expect(again.status == 0)
        #expect(again.output == "{\"moved\":0,\"outcome\":\"missing\",\"queue\":\"\(group).former\"}\n", "\(again)")
        let after = try await releases.run("plan", new, "--former", old)
        #expect(after.output == "the broker has everything, and nothing else\n", "\(after)")
        #expect(after.status == 0)
    }

    @Test func `a queue with consumers stays, and so do events that no present subscription accepts`() async throws {
        let releases = try await Releases()
        defer { try? FileManager.default.removeItem(at: releases.folder) }
        let (group, old, new) = (releases.group, releases.old, releases.new)
        let configuration = releases.configuration
        let bus = try EventBus(transport: .rabbit(configuration))
        bus.subscribe(to: try TopicPattern(validating: "\(group).order.#"), group: group, name: "former") { _, _ in }
        try await bus.withRunning {
            let used = try await releases.run("retire", new, "--former", old, "--move-to", "\(group).fresh")
            #expect(used.status == 1, "\(used)")
            #expect(used.output.contains("former: kept; 1 consumer; stop the instances"), "\(used)")
        }
        // The old release had a pattern that the present one has not.
        let foreign = QueueSpecification(
            group: group,
            name: "former",
            patterns: ["order.#", "stock.#"].compactMap { try? TopicPattern(validating: "\(group).\($0)") },
            prefetch: 1
        )
        try RabbitTopology(of: [foreign], with: configuration).write(to: old)
        try await RabbitTransport.declareTopology(for: [foreign], on: configuration)
        try await releases.publish(["order.created", "stock.reserved", "order.cancelled"])
        let moved = try await releases.run("retire", new, "--former", old, "--move-to", "\(group).fresh")
        #expect(moved.status == 1)
        #expect(
            moved.output
                == "\(group).former: kept; 2 events moved; \(group).fresh does not accept the topics of 1 event; "
                + "it gets no new ones\n",
            "\(moved)"
        )
        #expect(try await releases.state("former").events == 1)
    }

    @Test func `queues that are handled by key are moved and deleted, one after the other`() async throws {
        let releases = try await Releases()
        defer { try? FileManager.default.removeItem(at: releases.folder) }
        let (group, old, new) = (releases.group, releases.old, releases.new)
        let queues = try (0..<2).map { number in
            QueueSpecification(
                group: group,
                name: "keyed\(number)",
                patterns: [try TopicPattern(validating: "\(group).order.#")],
                prefetch: 1,
                singleActiveConsumer: true
            )
        }
        try RabbitTopology(of: queues, with: releases.configuration).write(to: old)
        try await RabbitTransport.declareTopology(for: queues, on: releases.configuration)
        try await releases.publish(["order.created"])
        let retired = try await releases.run("retire", new, "--former", old, "--move-to", "\(group).fresh")
        #expect(
            retired.output
                == "\(group).keyed0: 1 event moved, deleted\n\(group).keyed1: 1 event moved, deleted\n",
            "\(retired)"
        )
        #expect(retired.status == 0)
        for queue in queues { #expect(try await releases.state(queue.name).isMissing) }
    }

    @Test func `a queue with other arguments is planned with the events that it holds`() async throws {
        let releases = try await Releases()
        defer { try? FileManager.default.removeItem(at: releases.folder) }
        try await releases.publish(["order.created"])
        let text = try String(contentsOfFile: releases.new, encoding: .utf8)
        try text.replacing("quorum", with: "classic").write(toFile: releases.new, atomically: true, encoding: .utf8)
        let plan = try await releases.run("plan", releases.new)
        #expect(plan.status == 1)
        #expect(plan.output.contains("≠ \(releases.group).fresh: queue"), "\(plan)")
        #expect(plan.output.contains("; it holds 1 event\n  → a service that declares it does not start"), "\(plan)")
    }
}

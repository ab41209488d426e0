import EventBus
import EventBusRabbit
import Foundation
import Testing

@testable import EventBusCommands

/// The tests that the program writes for the dead letters of a service with bugs, whose connections break meanwhile.
///
/// The written tests are compiled here, in a package in which a warning is an error.
@Suite(.enabled(if: TestBroker.isThere), .timeLimit(.minutes(3)))
struct ChaosTests {
    private static let written: [(id: String, test: @Sendable () async throws -> Void)] = [
        ("bug-stock", deadLetter_bug_stock), ("bug-price", deadLetter_bug_price),
        ("bug-tenant", deadLetter_bug_tenant), ("bug-currency", deadLetter_bug_currency),
        ("bug-checksum", deadLetter_bug_checksum),
    ]

    @Test func `of five bugs in a chaos run, each written test fails with the same error until the bug is mended`()
        async throws
    {
        let host = try await VirtualHost()
        try await host.runWithBugs()
        for (id, test) in Self.written {
            let subscribing = ["--subscribe", "PlantedBugs.subscribe(bus)"]
            let arguments = ["dead", "test", id, "--group", PlantedBugs.group] + subscribing
            let environment = ["EVENTBUS_URL": host.url]
            var outcome = try await Tool.run(arguments + ["--redact", "email"], environment: environment)
            if id == "bug-checksum" {
                #expect(outcome.status == 65 && outcome.errors.contains("is no JSON"), "\(outcome)")
                outcome = try await Tool.run(arguments, environment: environment)
            }
            #expect(outcome.status == 0, "\(outcome)")
            #expect(Self.undated(outcome.output) == Self.undated(try Self.file(of: id)))
            let shown = try await Tool.run(
                ["dead", "list", "--id", id, "--group", PlantedBugs.group, "--json"],
                environment: ["EVENTBUS_URL": host.url]
            )
            let line = try #require(shown.lines.first, "\(shown)")
            let letter = try JSONDecoder().decode(LetterLine.self, from: Data(line.utf8)).letter()
            let error = "\(letter.failure.reason): \(letter.failure.errorType): \(letter.failure.message)"
            try await withKnownIssue("\(id)") {
                try await PlantedBugs.$areMended.withValue(false) { try await test() }
            } matching: { issue in
                issue.comments.contains { $0.rawValue == error }
            }
            try await test()
        }
        try await host.remove()
    }

    /// Returns the test for a bug that is compiled here.
    private static func file(of id: String) throws -> String {
        let folder = URL(filePath: #filePath).deletingLastPathComponent()
        let words = id.split(separator: "-").map(\.capitalized).joined()
        return try String(contentsOf: folder.appending(path: "\(words)Test.swift"), encoding: .utf8)
    }

    /// Returns a test without the time of the failure.
    private static func undated(_ source: String) -> String {
        source.replacing(/gave the event up at [^ ]+/, with: "gave the event up")
    }
}

/// A virtual host of its own, so that only connections to it are broken.
private struct VirtualHost: Sendable {
    let name = TestBroker.freshName()
    let url: String

    init() async throws {
        let broker = try #require(TestBroker.url)
        url = broker.replacing("%2F", with: name)
        let user = try RabbitConfiguration(uri: broker).credentials.user
        try await TestBroker.control("add_vhost", name)
        try await TestBroker.control("set_permissions", "-p", name, user, ".*", ".*", ".*")
    }

    func remove() async throws { try await TestBroker.control("delete_vhost", name) }

    /// Publishes the events that meet the bugs among others, and breaks all connections three times meanwhile. Returns
    /// when the service has given the five events up.
    func runWithBugs() async throws {
        let configuration = try RabbitConfiguration(uri: url)
        let service = try EventBus(transport: .rabbit(configuration))
        PlantedBugs.$areMended.withValue(false) { PlantedBugs.subscribe(service) }
        let publisher = try EventBus(transport: .rabbit(configuration))
        try await service.withRunning {
            try await publisher.withRunning {
                let chaos = Task {
                    for _ in 0..<3 { try await TestBroker.control("close_all_connections", "--vhost", name, "chaos") }
                }
                for event in PlantedBugs.events {
                    for _ in 0..<20 { try await publish(ordinary, with: publisher) }
                    try await publish(event, with: publisher)
                }
                try await chaos.value
                for _ in 0..<20 { try await publish(ordinary, with: publisher) }
                let letters = service.deadLetters(of: PlantedBugs.group)
                let expected = Set(PlantedBugs.events.map(\.id))
                let deadline = ContinuousClock.now + .seconds(60)
                var found: Set<EventID> = []
                while found != expected {
                    try #require(ContinuousClock.now < deadline, "\(found)")
                    found = try await Set(letters.entries().map(\.envelope.id))
                }
            }
        }
    }

    private var ordinary: Envelope {
        Envelope(topic: "order.created", payload: Array(#"{"order":"A-1","total":20}"#.utf8))
    }

    /// Publishes an event until the broker has confirmed it.
    private func publish(_ event: Envelope, with publisher: EventBus) async throws {
        let deadline = ContinuousClock.now + .seconds(60)
        while true {
            do {
                _ = try await publisher.publish(event)
                return
            } catch {
                guard ContinuousClock.now < deadline else { throw error }
            }
        }
    }
}

import EventBus
import EventBusRabbit
import Foundation
import Testing

/// The commands `tail`, `publish` and `doctor`, as a program against a broker.
@Suite(.enabled(if: TestBroker.isThere), .timeLimit(.minutes(3)))
struct FlowCommandTests {
    private struct Event: Decodable {
        var id: String
        var topic: String
        var correlationID: String?
        var payload: String
    }

    private func run(_ scene: Scene, _ arguments: [String]) async throws -> Tool.Outcome {
        try await Tool.run(arguments + ["--exchange", scene.exchange], environment: scene.environment)
    }

    @Test func `published events are printed while they are published`() async throws {
        let scene = try await Scene()
        let tail = try await Tool.run(
            [
                "tail", "\(scene.group).#", "--correlation", "order-7", "--limit", "2", "--json", "--exchange",
                scene.exchange,
            ],
            environment: scene.environment
        ) { running in
            // The queue of the program is bound when it says so.
            try await running.wait(for: "waiting for events")
            for number in [7, 8, 7] {
                let published = try await run(
                    scene,
                    [
                        "publish", "\(scene.group).created", "--data", "{\"total\": \(number)}", "--correlation",
                        "order-\(number)", "--header", "tenant=acme",
                    ]
                )
                #expect(published.status == 0, "\(published)")
                #expect(published.output.hasSuffix(" routed\n"))
            }
        }
        #expect(tail.status == 0, "\(tail)")
        let events = try tail.lines.map { try JSONDecoder().decode(Event.self, from: Data($0.utf8)) }
        #expect(events.map(\.payload) == ["{\"total\": 7}", "{\"total\": 7}"])
        #expect(events.map(\.correlationID) == ["order-7", "order-7"])
        try await scene.wait(for: 3, in: scene.queue)
    }

    @Test func `an event without a subscription is reported, and a delayed one is scheduled`() async throws {
        let scene = try await Scene()
        let lost = try await run(scene, ["publish", "nobody.\(scene.group)", "--json"])
        #expect(lost.status == 1, "\(lost)")
        #expect(lost.output.contains("unroutable"))
        #expect(lost.errors.contains("no subscription matches"))
        let delayed = try await run(scene, ["publish", "\(scene.group).created", "--delay", "0.1"])
        #expect(delayed.output.hasSuffix(" scheduled\n"), "\(delayed)")
        try await scene.wait(for: 1, in: scene.queue)
        for arguments in [["a..b"], ["a.b", "--header", "novalue"], ["a.b", "--delay", "-1"]] {
            let wrong = try await run(scene, ["publish"] + arguments)
            #expect(wrong.status == 64, "\(wrong)")
        }
    }

    @Test func `the doctor finds queues without consumers, dead letters and missing queues`() async throws {
        let scene = try await Scene()
        let bus = try EventBus(transport: .rabbit(scene.configuration))
        bus.subscribe(
            to: try TopicPattern(validating: "\(scene.group).#"),
            group: scene.group,
            name: "renamed"
        ) { _, _ in }
        try await scene.add([try scene.letter(1), try scene.letter(2)])
        try await bus.withRunning {
            try await bus.publish(Envelope(topic: try Topic(validating: "\(scene.group).created"), payload: []))
            try await scene.wait(for: 0, in: "\(scene.group).renamed")
            let outcome = try await run(
                scene,
                [
                    "doctor", "--queue", scene.queue, "--queue", "\(scene.group).renamed", "--queue",
                    "\(scene.group).none", "--watch", "0", "--json",
                ]
            )
            #expect(outcome.status == 1, "\(outcome)")
            func line(_ subject: String) -> String { outcome.lines.first { $0.contains("\"\(subject)\"") } ?? "" }
            #expect(line(scene.queue).contains("nobody consumes the queue, and 1 events wait"))
            #expect(line("\(scene.group).none").contains("missing"))
            #expect(line("\(scene.group).dead").contains("2 dead letters"))
            #expect(line("\(scene.group).dead").contains("eventbus dead groups --group \(scene.group)"))
            #expect(line("\(scene.group).renamed").contains("\"note\""))
            #expect(line("broker").contains("RabbitMQ"))
            let text = try await run(scene, ["doctor", "--queue", "\(scene.group).renamed", "--watch", "0"])
            #expect(text.output.contains("→ eventbus dead groups"), "\(text)")
        }
    }
}

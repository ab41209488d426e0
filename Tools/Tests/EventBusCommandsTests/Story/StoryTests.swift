import EventBus
import EventStory
import Foundation
import Testing

@testable import EventBusCommands

/// The stories of events, from recordings, spans, logs and dead letters.
struct StoryTests {
    private static let lines = """
        {"service":"orders","name":"POST /orders","kind":"server","traceID":"t1","spanID":"1","parentID":null,"start":"2026-01-31T12:00:00.000000Z","end":"2026-01-31T12:00:00.003100Z","status":"ok","attributes":{"http.request.method":"POST"},"links":[]}
        {"service":"orders","name":"send order.created","traceID":"t1","start":"2026-01-31T12:00:00.001000Z","end":"2026-01-31T12:00:00.003000Z","status":"ok","attributes":{"messaging.operation.type":"send","messaging.destination.name":"order.created","messaging.message.id":"e1","messaging.message.conversation_id":"order-1"}}
        {"service":"inventory","name":"process order.created","traceID":"t1","start":"2026-01-31T12:00:00.010000Z","end":"2026-01-31T12:00:00.011000Z","status":"error","error":"no stock","attributes":{"messaging.operation.type":"process","messaging.destination.name":"order.created","messaging.message.id":"e1","messaging.message.conversation_id":"order-1","eventbus.attempt":2}}
        {"id":"e1","topic":"order.created","time":"2026-01-31T12:00:00.002Z","source":"orders","correlationID":"order-1","version":1,"contentType":"application/json","payload":"{}"}
        {"id":"e2","topic":"order.viewed","time":"2026-01-31T12:00:00.004Z","source":"web","correlationID":"order-1","version":1,"contentType":"application/json","payload":"{}"}
        {"id":"e1","topic":"order.created","group":"inventory","queue":"inventory.orders","reason":"attempts_exhausted","errorType":"E","error":"no stock","attempts":12,"lastFailure":"2026-01-31T12:01:10.000Z","time":"2026-01-31T12:00:00.002Z","source":"orders","correlationID":"order-1","version":1,"contentType":"application/json","payload":"{}"}
        {"time":"2026-01-31T12:00:00.012Z","level":"warning","service":"inventory","message":"attempt failed","correlation-id":"order-1","error":"no stock"}
        {"time":"2026-01-31T12:00:00.012Z","level":"warning","service":"inventory","message":"other","correlation-id":"order-12"}
        {"service":"orders","name":"GET /","traceID":"t2","start":"2026-01-31T12:00:00.000000Z","end":"2026-01-31T12:00:00.003100Z","status":"ok","attributes":{}}
        {"service":"orders","name":"torn order-1
        """

    private func story(_ text: String, _ correlation: String = "order-1") throws -> Story {
        let file = FileManager.default.temporaryDirectory.appending(path: UUID().uuidString)
        try Data(text.utf8).write(to: file)
        defer { try? FileManager.default.removeItem(at: file) }
        let path = file.path(percentEncoded: false)
        return Story(correlationID: correlation, records: try StoryFiles.records(of: correlation, in: [path]))
    }

    @Test func `a story is assembled from recordings, spans, logs and dead letters`() throws {
        let drawing = try "\(story(Self.lines).drawing)".split(separator: "\n")
        #expect(drawing.count == 10, "\(drawing)")
        #expect(drawing[0] == "order-1: 6 steps in 70.00 s")
        #expect(drawing[1].hasPrefix("time         O    W    I  service        what      event"))
        #expect(drawing[2].hasPrefix("+0.000 s     ●    │    │  orders         POST      /orders"))
        #expect(drawing[3].hasPrefix("+0.001 s     ●────┼───▶│  orders         publish   order.created"))
        #expect(drawing[4].hasPrefix("+0.004 s     │    ●    │  web            publish   order.viewed"))
        #expect(drawing[5].hasPrefix("+0.010 s     │    │    ✗  inventory      process   order.created"))
        #expect(drawing[5].hasSuffix("2       1.0 ms  failed"))
        #expect(drawing[6].hasSuffix("no stock"))
        #expect(drawing[7].hasPrefix("+0.012 s     │    │    ●  inventory      warning   attempt failed"))
        #expect(drawing[8].hasPrefix("+70.000 s    │    │    ✗  inventory      give up   order.created"))
        #expect(drawing[9].hasSuffix("attempts_exhausted: no stock"))
    }

    @Test func `a recording without spans shows where events are published and given up`() throws {
        let lines = Self.lines.split(separator: "\n").filter { $0.contains("\"payload\"") }.joined(separator: "\n")
        // An export that was made twice tells of the same dead letter.
        let story = try story(lines + "\n" + lines)
        #expect(story.lines.map(\.action) == ["publish", "publish", "give up"])
        #expect(story.lines.map(\.service) == ["orders", "web", "inventory"])
        #expect("\(story.drawing)".contains("●────┼───▶│  orders"), "\(story.drawing)")
        #expect(try self.story(Self.lines, "order").isEmpty)
    }

    @Test func `the first event of a story may carry no correlation id`() throws {
        let line = #"{"id":"e9","topic":"a","time":"2026-01-31T12:00:00Z","version":1,"contentType":"t","payload":""}"#
        #expect(try story(line, "e9").lines.map(\.event) == ["e9"])
    }

    @Test func `a story has no control characters, however many services and whatever they report`() throws {
        var records: [StoryRecord] = []
        for number in 0..<40 {
            records.append(
                .span(
                    SpanRecord(
                        service: "s\(number)\u{1B}[2J",
                        name: "send \u{9B}\u{202E}",
                        traceID: "t",
                        start: .max - 100,
                        duration: 50,
                        failure: String(repeating: "e\u{301}", count: 10_000),
                        attributes: [:]
                    )
                )
            )
        }
        for line in "\(Story(correlationID: "\u{1B}c", records: records).drawing)".split(separator: "\n") {
            #expect(line.utf8.count < 2000)
            #expect(line.unicodeScalars.allSatisfy { ![.control, .format].contains($0.properties.generalCategory) })
        }
    }

    @Test func `times are read with microseconds`() {
        #expect(SpanRecord.microseconds("2026-01-31T12:00:00.250123Z") == 1_769_860_800_250_123)
        #expect(SpanRecord.microseconds("2026-01-31T13:00:00.25+01:00") == 1_769_860_800_250_000)
        #expect(SpanRecord.microseconds("2026-01-31T12:00:00Z") == 1_769_860_800_000_000)
        #expect(SpanRecord.microseconds("yesterday") == nil)
    }
}

/// The command `story`, as a program.
@Suite(.timeLimit(.minutes(2)))
struct StoryCommandTests {
    @Test func `wrong usage and unreadable files are named`() async throws {
        let nothing = try await Tool.run(["story", "order-1"])
        #expect(nothing.status == 64)
        #expect(nothing.errors.contains("--group"))
        let missing = try await Tool.run(["story", "order-1", "/nowhere/spans.jsonl"])
        #expect(missing.status == 65)
        #expect(missing.errors.contains("/nowhere/spans.jsonl"))
        let file = FileManager.default.temporaryDirectory.appending(path: UUID().uuidString)
        try Data("{}\n".utf8).write(to: file)
        defer { try? FileManager.default.removeItem(at: file) }
        let unknown = try await Tool.run(["story", "order-1", file.path(percentEncoded: false)])
        #expect(unknown.status == 1)
        #expect(unknown.errors == "eventbus: nothing is known of order-1\n")
    }

    @Test(.enabled(if: TestBroker.isThere))
    func `dead letters on the broker are part of a story`() async throws {
        let scene = try await Scene()
        try await scene.add((1...12).map { try scene.letter($0) })
        let outcome = try await Tool.run(
            ["story", "order-2", "--json"] + scene.options,
            environment: scene.environment
        )
        #expect(outcome.status == 0, "\(outcome)")
        #expect(outcome.lines.filter { $0.contains("give up") }.count == 2)
        #expect(outcome.output.contains("event-2") && outcome.output.contains("event-12"), "\(outcome)")
    }
}

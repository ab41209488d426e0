import EventStory
import Testing

@testable import Fleet

@Suite("The story of an order", .timeLimit(.minutes(1)))
struct StoryTests {
    private let begin: Int64 = 1_770_000_000_000_000

    private func span(
        _ name: String,
        kind: ServiceKind,
        trace: String,
        start: Int64,
        duration: Int64,
        failure: String? = nil,
        attributes: [String: String]
    ) -> Span {
        let process = kind.executable.replacing("-service", with: "")
        let record = SpanRecord(
            service: process,
            name: name,
            traceID: trace,
            start: start,
            duration: duration,
            failure: failure,
            attributes: attributes
        )
        return Span(record, process: process, kind: kind)
    }

    private func placed(_ order: String, at offset: Int64 = 0) -> Span {
        span(
            "POST /orders",
            kind: .orders,
            trace: "trace-\(order)",
            start: begin + offset,
            duration: 3_100,
            attributes: [
                "messaging.message.conversation_id": "order-\(order)", "http.request.method": "POST",
            ]
        )
    }

    private func event(
        _ operation: String,
        _ topic: String,
        of order: String,
        by kind: ServiceKind,
        at offset: Int64,
        attempt: Int? = nil,
        failure: String? = nil
    ) -> Span {
        var attributes = [
            "messaging.operation.type": operation, "messaging.destination.name": topic,
            "messaging.message.id": "\(topic):\(order)",
        ]
        attributes["eventbus.attempt"] = attempt.map(String.init)
        return span(
            "\(operation) \(topic)",
            kind: kind,
            trace: "trace-\(order)",
            start: begin + offset,
            duration: 1_250,
            failure: failure,
            attributes: attributes
        )
    }

    private func story(_ order: String, failure: String? = nil) -> [Span] {
        [
            event("process", "order.confirmed", of: order, by: .notifications, at: 1_050_000, attempt: 1),
            event("send", "order.confirmed", of: order, by: .orders, at: 1_040_000),
            event("process", "stock.reserved", of: order, by: .orders, at: 1_030_000, attempt: 1),
            event("send", "stock.reserved", of: order, by: .inventory, at: 1_020_000),
            event("process", "order.created", of: order, by: .inventory, at: 10_000, attempt: 1, failure: failure),
            event("send", "order.created", of: order, by: .orders, at: 5_000),
            placed(order),
        ]
    }

    @Test("It is assembled by correlation and trace, in order of time, across all services")
    func assembly() throws {
        let book = StoryBook(story("1") + story("2"), events: [], orders: ["1", "2", "3"])
        let first = try #require(book["1"])
        #expect(first.spans.count == 7)
        #expect(first.spans.map(\.start) == first.spans.map(\.start).sorted())
        #expect(first.isComplete)
        #expect(book["3"] == nil)
        #expect(book.completeCount == 2)
    }

    @Test("The most interesting story has a retry")
    func interest() {
        let spans = story("1") + story("2", failure: "the lock is not available") + story("3")
        let book = StoryBook(spans, events: [], orders: ["1", "2", "3"])
        #expect(book.mostInteresting?.order == "2")
    }

    @Test("It is drawn with one line for each step, with lanes, in 100 columns")
    func drawing() throws {
        let failure = "the lock is not available: " + String(repeating: "long ", count: 40)
        let killed = FleetEvent(member: "redis", kind: .killed, at: .seconds(1), time: begin + 500_000)
        let book = StoryBook(story("1", failure: failure), events: [killed], orders: ["1"])
        let lines = StoryDrawing(try #require(book["1"])).description.split(separator: "\n")
        #expect(lines.count == 11)
        #expect(lines.allSatisfy { $0.count <= 100 }, "\(lines.map(\.count))")
        #expect(lines[0] == "order 1: 7 steps in 1.05 s, order-1")
        #expect(lines[2].hasPrefix("+0.000 s     ●    │    │  order"))
        #expect(lines[3].hasPrefix("+0.005 s     ●───▶│    │  order          publish   order.created"))
        #expect(lines[4].hasPrefix("+0.010 s     │    ✗    │  inventory      process   order.created"))
        #expect(lines[4].hasSuffix("failed"))
        #expect(lines[6].hasPrefix("+0.500 s     │    │    │  redis          killed"))
        #expect(lines[7].hasPrefix("+1.020 s     │◀───●    │  inventory      publish   stock.reserved"))
        #expect(lines[9].hasPrefix("+1.040 s     ●────┼───▶│  order          publish   order.confirmed"))
    }

    @Test func `a drawing contains no control characters, and its lines are short, whatever services report`() {
        let nasty = "a\u{1B}[2J\u{9B}\u{202E}\r" + "e" + String(repeating: "\u{301}", count: 100_000)
        let record = SpanRecord(
            service: nil,
            name: "POST \(nasty)",
            traceID: nasty,
            start: begin,
            duration: 1,
            failure: nasty,
            attributes: [:]
        )
        let span = Span(record, process: nasty, kind: .orders)
        let events = [FleetEvent(member: nasty, kind: .killed, at: .zero, time: begin)]
        let drawing = StoryDrawing(Story(order: nasty, correlationID: nasty, spans: [span], events: events)).description
        for line in drawing.split(separator: "\n") {
            #expect(line.utf8.count < 1000)
            #expect(line.unicodeScalars.allSatisfy { ![.control, .format].contains($0.properties.generalCategory) })
        }
    }
}

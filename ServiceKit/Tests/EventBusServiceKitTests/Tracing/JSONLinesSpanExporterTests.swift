import EventBus
import Testing
import Tracing

@testable import EventBusServiceKit

@Suite("Span file", .timeLimit(.minutes(1)))
struct JSONLinesSpanExporterTests {
    private let directory: TemporaryDirectory

    init() throws {
        directory = try TemporaryDirectory()
    }

    private func exporter(secrets: [String] = []) throws -> JSONLinesSpanExporter {
        try JSONLinesSpanExporter(path: directory.file("trace"), secrets: secrets, logger: .quiet)
    }

    @Test("Only its owner can read a new span file")
    func permissions() throws {
        _ = try exporter()
        #expect(directory.permissions(of: "trace") == 0o600)
    }

    @Test("A span is one line with all its data")
    func line() async throws {
        struct Broken: Error, CustomStringConvertible { var description: String { "no \"way\"" } }
        let exporter = try exporter(secrets: ["hunter22"])
        let tracer = ServiceTracer(service: "orders", exporter: exporter)
        tracer.withSpan("outer") { outer in
            let span = tracer.startSpan("process order.created", ofKind: .consumer)
            span.attributes["messaging.message.id"] = "e-1"
            span.attributes["eventbus.attempt"] = 2
            span.attributes["ratio"] = 0.5
            span.attributes["is"] = true
            span.attributes["key"] = "hunter22"
            span.addLink(SpanLink(context: outer.context, attributes: [:]))
            span.recordError(Broken())
            span.setStatus(SpanStatus(code: .error))
            span.end()
        }
        await exporter.flush()
        let lines = directory.lines(of: "trace")
        #expect(lines.count == 2)
        let (span, outer) = (try JSONObject(lines[0]), try JSONObject(lines[1]))
        #expect(span["service"] == "orders" && span["name"] == "process order.created" && span["kind"] == "consumer")
        #expect(span["traceID"] == outer["traceID"] && span["parentID"] == outer["spanID"])
        #expect(outer.members["parentID"] != nil && outer["parentID"] == nil)
        #expect(span["status"] == "error" && span["error"] == "no \"way\"")
        #expect(outer["status"] == "ok" && outer.members["error"] == nil)
        let start = try #require(span["start"])
        #expect(start.count == 27 && EventTime(rfc3339: start) != nil)
        let attributes = try #require(span.object("attributes"))
        #expect(attributes["messaging.message.id"] as? String == "e-1" && attributes["eventbus.attempt"] as? Int == 2)
        #expect(attributes["ratio"] as? Double == 0.5 && attributes["is"] as? Bool == true)
        #expect(attributes["key"] as? String == "***")
        #expect(span.array("links")?.first?["spanID"] as? String == outer["spanID"])
    }

    @Test("Times have microseconds")
    func times() {
        #expect(SpanLine.rfc3339(1_769_860_800_000_001_999) == "2026-01-31T12:00:00.000001Z")
        #expect(SpanLine.rfc3339(1_769_860_800_123_456_789) == "2026-01-31T12:00:00.123456Z")
        #expect(SpanLine.rfc3339(1_769_860_800_999_999_999) == "2026-01-31T12:00:00.999999Z")
    }

    @Test("Spans are written within a second while it runs, and the rest when it ends")
    func running() async throws {
        let exporter = try exporter()
        let tracer = ServiceTracer(service: "orders", exporter: exporter)
        let running = Task { await exporter.run() }
        tracer.withSpan("first") { _ in }
        try await eventually("the first span is in the file") { directory.lines(of: "trace").count == 1 }
        tracer.withSpan("second") { _ in }
        running.cancel()
        await running.value
        #expect(directory.lines(of: "trace").count == 2)
    }

    @Test("Two exporters share a file, and a torn line does not damage the next one")
    func sharing() async throws {
        _ = try directory.write("{\"torn", to: "trace")
        let (one, two) = (try exporter(), try exporter())
        await withTaskGroup(of: Void.self) { group in
            for exporter in [one, two] {
                group.addTask {
                    let tracer = ServiceTracer(service: "orders", exporter: exporter)
                    for _ in 0..<200 {
                        tracer.withSpan("span") { _ in }
                        await exporter.flush()
                    }
                }
            }
        }
        let lines = directory.lines(of: "trace")
        #expect(lines.count == 401 && lines[0] == "{\"torn")
        for line in lines.dropFirst() { _ = try JSONObject(line) }
    }

    @Test("Spans that do not fit into a full file are dropped, counted and reported")
    func fullDisk() async throws {
        let log = try LogFile()
        let exporter = try JSONLinesSpanExporter(path: "/dev/full", logger: log.logger())
        let tracer = ServiceTracer(service: "orders", exporter: exporter)
        for _ in 0..<3 { tracer.withSpan("span") { _ in } }
        await exporter.flush()
        let line = try JSONObject(try #require(log.lines.first))
        #expect(line["message"] == "spans were dropped" && line["spans"] == "3" && line["level"] == "warning")
    }

    @Test("A file that cannot be opened is refused with its path")
    func unopenable() {
        let failure = ServiceFailure("cannot open the trace file /nowhere/trace: No such file or directory")
        #expect(throws: failure) { try JSONLinesSpanExporter(path: "/nowhere/trace", logger: .quiet) }
    }
}

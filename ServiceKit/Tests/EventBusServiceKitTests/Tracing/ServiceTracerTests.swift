import Testing
import Tracing

@testable import EventBusServiceKit

@Suite("Tracer", .timeLimit(.minutes(1)))
struct ServiceTracerTests {
    private let exporter = RecordingExporter()
    private var tracer: ServiceTracer { ServiceTracer(service: "orders", exporter: exporter) }

    @Test("A child span belongs to the trace of its parent and names it")
    func nesting() throws {
        tracer.withSpan("outer", ofKind: .server) { _ in
            tracer.withSpan("inner") { span in span.attributes["n"] = 1 }
        }
        let spans = exporter.spans
        #expect(spans.map(\.name) == ["inner", "outer"])
        #expect(spans[0].traceID == spans[1].traceID && spans[0].parentID == spans[1].spanID)
        #expect(spans[1].parentID == nil && spans[1].kind == .server && spans[1].service == "orders")
        #expect(spans[0].traceID.count == 32 && spans[0].spanID.count == 16)
        #expect(spans[0].attribute("n") == .int64(1))
        #expect(spans.allSatisfy { $0.start <= $0.end && $0.start > 1_700_000_000_000_000_000 })
    }

    @Test("A failed span has its status and its error, and changes after its end have no effect")
    func failures() throws {
        struct Broken: Error {}
        #expect(throws: Broken.self) { try tracer.withSpan("fails") { _ in throw Broken() } }
        let span = tracer.startSpan("ended")
        span.end()
        span.end()
        span.attributes["late"] = 1
        span.setStatus(SpanStatus(code: .error))
        let spans = exporter.spans
        #expect(spans.count == 2)
        #expect(spans[0].status?.code == .error && spans[0].error == "Broken()")
        #expect(spans[0].events.map(\.name) == ["exception"])
        #expect(spans[1].status == nil && spans[1].attributes.isEmpty)
        #expect(!span.isRecording)
    }

    @Test("A trace that its first span did not sample is passed on and not recorded")
    func notSampled() {
        var context = ServiceContext.topLevel
        let header = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00"
        tracer.extract(["traceparent": header], into: &context, using: DictionaryExtractor())
        let span = tracer.startSpan("quiet", context: context)
        #expect(!span.isRecording)
        var carrier: [String: String] = [:]
        tracer.inject(span.context, into: &carrier, using: DictionaryInjector())
        span.end()
        #expect(exporter.spans.isEmpty)
        #expect(carrier["traceparent"]?.hasPrefix("00-4bf92f3577b34da6a3ce929d0e0e4736-") == true)
        #expect(carrier["traceparent"]?.hasSuffix("-00") == true)
    }

    @Test("Links contain the linked spans")
    func links() {
        let other = tracer.startSpan("other")
        let span = tracer.startSpan("span")
        span.addLink(SpanLink(context: other.context, attributes: [:]))
        span.addLink(SpanLink(context: .topLevel, attributes: [:]))
        span.end()
        #expect(exporter.spans[0].links.map(\.spanID) == [other.identity.spanID])
    }
}

private struct DictionaryExtractor: Extractor {
    func extract(key: String, from carrier: [String: String]) -> String? { carrier[key] }
}

private struct DictionaryInjector: Injector {
    func inject(_ value: String, forKey key: String, into carrier: inout [String: String]) { carrier[key] = value }
}

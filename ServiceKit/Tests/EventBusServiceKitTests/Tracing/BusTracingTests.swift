import EventBus
import EventBusInMemory
import Testing
import Tracing

@testable import EventBusServiceKit

extension WholeProcess {
    @Suite("Tracing of the bus", .timeLimit(.minutes(1)))
    struct BusTracingTests {
        private let exporter = RecordingExporter()

        @Test("An event's trace continues through the bus into its handler and the handler's publishes")
        func throughTheBus() async throws {
            ProcessTelemetry.shared.bootstrapTracing(service: "orders", exporter: exporter)
            let broker = InMemoryBroker()
            let bus = EventBus(transport: .inMemory(broker))
            let retry = RetryPolicy.fixed(.milliseconds(1), maximumAttempts: 2)
            bus.subscribe(to: Placed.self, group: "inventory", options: .init(retry: retry)) { event, context in
                if context.attempt == 1 { throw NotYet() }
                try await bus.publish(Reserved(id: event.id))
            }
            try await bus.withRunning {
                try await InstrumentationSystem.tracer.withSpan("request") { _ in
                    _ = try await bus.publish(Placed(id: "1"), options: .init(correlationID: "c-1"))
                }
                try await broker.settled()
            }
            let request = try #require(exporter.spans.first { $0.name == "request" })
            // Other tests trace too, each in its own trace.
            let spans = exporter.spans.filter { $0.traceID == request.traceID && $0.spanID != request.spanID }
            #expect(spans.count == 4)
            #expect(spans.allSatisfy { $0.attribute("messaging.message.conversation_id") == .string("c-1") })
            let publish = try #require(spans.first { $0.name == "publish order.placed" })
            #expect(publish.kind == .producer && publish.parentID == request.spanID)
            let attempts = spans.filter { $0.name == "process order.placed" }
            #expect(attempts.map(\.parentID) == [publish.spanID, publish.spanID])
            #expect(attempts.map { $0.status?.code == .error } == [true, false])
            #expect(attempts.map { $0.attribute("eventbus.attempt") } == [.int64(1), .int64(2)])
            #expect(attempts[1].links.map(\.spanID) == [publish.spanID])
            let reserved = try #require(spans.first { $0.name == "publish stock.reserved" })
            #expect(reserved.parentID == attempts[1].spanID)
        }
    }
}

private struct Placed: Event {
    static let topic: Topic = "order.placed"
    var id: String
}

private struct Reserved: Event {
    static let topic: Topic = "stock.reserved"
    var id: String
}

private struct NotYet: Error {}
